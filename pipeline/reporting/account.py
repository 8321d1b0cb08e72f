"""What the page says of an output besides its numbers: cost, protocol, commands and files."""

import os
import posixpath
import shlex
from urllib.parse import quote

from pipeline.reporting.part import Part, public
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.layout import RESULT, SWEEP
from pipeline.sweep.run import Run

_ROUNDING = "[−1, 1] to [0, 1], clamped, times 255, plus 0.5, rounded down, as the authors"
_EMA = {True: "yes", False: "no", None: "unknown"}
_CLIP = {"hat": "pred_x0 for σ̂ alone, as the authors", "always": "pred_x0, always", "never": "nothing"}
_AGAIN = "runs/again"
"""The output that the commands name."""


def cost(part: Part, price_per_hour: float | None) -> list[tuple[str, str]]:
    """Return (what, how much) of an output: device, dtype, hours, and money if a price is given.

    Hours are those of result.json, all runs into the output together. The price is one of a GPU hour, or of a CPU core
    hour where no GPU was used.
    """
    run = part.run
    content = run.result.content
    if not content:
        try:
            content = run.storage.read_json(RESULT)
        except DamagedFileError:
            content = {}
    devices = sorted({row["device"] for row in part.measured.values() if row.get("device")})
    lines = [("device", ", ".join(devices) or "unknown"), ("dtype of the network", run.config.network)]
    if not content:
        return [*lines, ("hours", "unknown: there is no result.json")]
    gpu, cpu = content["gpu_hours"], content["cpu_hours"]
    lines += [("GPU hours", f"{gpu:.2f}"), ("CPU core hours", f"{cpu:.2f}")]
    if price_per_hour is not None:
        hours, unit = (gpu, "GPU hour") if gpu else (cpu, "CPU core hour")
        lines.append(("price", f"{hours * price_per_hour:,.2f}, at {price_per_hour:g} a {unit}"))
    return lines


def protocol(part: Part) -> list[tuple[str, str]]:
    """Return (what, how) of how an output was drawn and measured."""
    run = part.run
    extractor, model = run.measurement.extractor, run.model
    reference = next(iter(part.measured.values()), {}).get("reference", {})
    of = f", {reference['num_images']:,} images" if "num_images" in reference else ""
    spacings = dict.fromkeys(setting.spacing for setting in part.settings)
    return [
        ("images a setting", f"{run.config.num_images:,}, seed {run.config.seed}"),
        ("model", f"{public(run.config.model)}, SHA-256 {model.digest[:8]}"),
        ("EMA weights", _EMA[model.ema]),
        ("noise schedule", f"β from {model.beta_start:g} to {model.beta_end:g} in {model.num_train_timesteps:,} steps"),
        ("spacing", ", ".join(spacings)),
        ("clipped", _CLIP[run.config.clip]),
        ("rounding to 8 bits", _ROUNDING),
        ("extractor", f"{extractor.name}, SHA-256 {extractor.digest[:8]}"),
        ("reference", public(run.measurement.reference.spec) + of),
    ]


def commands(part: Part) -> list[str]:
    """Return the command lines that draw and measure an output again, without secrets and storage options."""
    measurement = part.run.measurement
    lines = [f"python jobs/sweep.py --config {shlex.quote(f'{part.output}/{SWEEP}')} --out {_AGAIN}"]
    if measurement.path:
        options = {"extractor": measurement.extractor.name, "reference": measurement.reference.spec}
        if measurement.extractor.weights:
            options["extractor-weights"] = measurement.extractor.weights
        given = " ".join(f"--{name} {shlex.quote(public(value))}" for name, value in options.items())
        lines.append(f"python jobs/evaluate.py --out {_AGAIN} {given}")
    return lines


def links(part: Part, first: Run) -> list[tuple[str, str]]:
    """Return (name, relative address) of an output's files that are there, from the page of the run `first`."""
    run, lines = part.run, []
    paths = (run.paths.metrics, run.paths.report("table.md"), run.paths.report("table.csv"), SWEEP)
    listed = {folder: run.storage.ls(folder) for folder in {posixpath.dirname(path) for path in paths}}
    for path in paths:
        folder, name = posixpath.split(path)
        address = _relative(_address(run, path), posixpath.dirname(_address(first, first.paths.report())))
        if address and name in listed[folder]:
            lines.append((name, address))
    return lines


def _address(run: Run, path: str) -> str:
    out = run.config.out.rstrip("/")
    return f"{out if '://' in out else os.path.abspath(out)}/{path}"  # noqa: PTH100 - it is half of a URL


def _relative(target: str, folder: str) -> str:
    """Return the address of a file from a folder; empty if they are in different stores or buckets."""
    (scheme, _, path), (its_scheme, _, its_path) = (text.rpartition("://") for text in (target, folder))
    if scheme != its_scheme or (scheme and path.split("/")[0] != its_path.split("/")[0]):
        return ""
    return quote(posixpath.relpath(path, its_path))
