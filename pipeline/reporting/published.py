"""FIDs that later papers and users published with the authors' CIFAR10 checkpoint; the sources are second-hand."""

from typing import Final

from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.samplers.deis import DEIS
from pipeline.diffusion.samplers.dpm_solver import DPMSolver
from pipeline.sweep.grid import Setting
from pipeline.sweep.method import Method

LATER_SAMPLERS: Final[dict[str, dict[int, float]]] = {
    "DDIM": {10: 13.36, 12: 11.02, 15: 8.92, 20: 6.94, 50: 4.73, 200: 4.07, 1000: 3.95},
    "Analytic-DDIM": {12: 11.68, 15: 9.16, 20: 7.20, 50: 4.28, 200: 3.60, 1000: 3.86},
    "F-PNDM": {20: 4.61, 50: 3.68, 200: 3.47, 1000: 3.26},
    "tAB3-DEIS": {10: 7.12, 20: 4.53, 50: 3.78},
    "DPM-Solver-2": {12: 6.15, 14: 5.23, 20: 3.95, 50: 3.50, 200: 3.46, 1000: 3.46},
    "DPM-Solver-3": {12: 8.20, 15: 5.21, 18: 3.81, 48: 3.49, 198: 3.45, 999: 3.45},
    "ERA-Solver": {12: 4.38, 15: 3.86, 20: 3.79, 50: 3.42},
    "SciRE-V1-2": {12: 4.41, 15: 4.09, 20: 3.67, 50: 3.28},
}
"""Sampler → network calls → FID with the authors' CIFAR10 checkpoint. The source is secondary: SciRE-Solver's table 1,
and other papers for 10 calls. Where that table rounds the calls of a singlestep method up, these are the true ones. Its
7.03 of F-PNDM at 10 is left out: ten steps of it take 19 calls."""

_OURS: Final[dict[Method, str]] = {
    Method(DEIS(ab_order=3, variant="t"), "time-quadratic"): "tAB3-DEIS",
    Method(DPMSolver(order=2), "logsnr"): "DPM-Solver-2",
    Method(DPMSolver(order=3), "logsnr"): "DPM-Solver-3",
}
"""Method → its name in `LATER_SAMPLERS`. Those of F-PNDM stand by no cell: on the authors' linear grid no
number of steps takes the calls that the source gives."""

_LINEAR_DDIM: Final = {10: 18.77, 20: 11.08, 100: 5.52}
"""S → FID of DDIM, η = 0, with the same checkpoint and the linear τ, as users of the authors' code report it."""


def published_fid(setting: Setting) -> float | None:
    """Return a second-hand FID with the authors' CIFAR10 checkpoint of a setting's method and true calls."""
    if setting.method == Method(DDIM(0.0), "linear"):
        return _LINEAR_DDIM.get(setting.nfe)
    return LATER_SAMPLERS.get(_OURS.get(setting.method, ""), {}).get(setting.nfe)


def later_samplers() -> str:
    """Return the table of `LATER_SAMPLERS` in Markdown."""
    calls = sorted({nfe for fids in LATER_SAMPLERS.values() for nfe in fids})
    lines = [
        "\nWith the authors' checkpoint, later samplers' FID by network calls (SciRE-Solver's table 1 and others):\n",
        "| | " + " | ".join(map(str, calls)) + " |",
        "|:--" + "|--:" * len(calls) + "|",
        *(
            f"| {name} | " + " | ".join(f"{fids[nfe]:.2f}" if nfe in fids else "" for nfe in calls) + " |"
            for name, fids in LATER_SAMPLERS.items()
        ),
    ]
    return "\n".join(lines) + "\n"
