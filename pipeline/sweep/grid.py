"""Setting: all that changes pixels for a given model and noise; and the product of the grid."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from pipeline import UserError
from pipeline.diffusion.samplers.ddim import Eta
from pipeline.diffusion.schedule import make_tau, parse_spacing
from pipeline.sweep.config import SweepConfig


@dataclass(frozen=True)
class Setting:
    """One cell of the table."""

    steps: int
    eta: Eta
    spacing: str
    clip: bool
    tau: tuple[int, ...] = field(compare=False)
    """Follows from steps, spacing and the model's T."""

    @property
    def sampler(self) -> str:
        """Name the sampler."""
        return "ddim"

    @property
    def nfe(self) -> int:
        """Network calls an image."""
        return len(self.tau)

    @property
    def slug(self) -> str:
        """Name of the setting's folder."""
        spacing = self.spacing
        if parse_spacing(spacing) is not None:
            spacing = "tau" + hashlib.sha256(spacing.encode()).hexdigest()[:8]
        return f"{self.sampler}-S{self.steps}-eta{self.eta_text}-{spacing}" + ("-clip" if self.clip else "")

    @property
    def eta_text(self) -> str:
        """Eta as a word: "0", "0.2", "hat"."""
        return self.eta if isinstance(self.eta, str) else repr(self.eta).removesuffix(".0")

    def describe(self) -> dict[str, Any]:
        """Return the setting as plain values, for metadata and metrics."""
        return {
            "sampler": self.sampler,
            "steps": self.steps,
            "eta": self.eta,
            "spacing": self.spacing,
            "clip": self.clip,
            "nfe": self.nfe,
        }


def settings(config: SweepConfig, num_train_timesteps: int) -> list[Setting]:
    """Return the product of the config's spacings, etas and steps, in the order of the table.

    A spacing that is a list of timesteps has as many steps as it lists, so it gives one setting an eta.

    Raises:
        UserError: a step count or timestep does not fit the model.

    """
    grid: dict[str, Setting] = {}
    for spacing in config.spacing:
        listed = parse_spacing(spacing)
        for eta in config.eta:
            for steps in (len(listed),) if listed else config.steps:
                try:
                    tau = tuple(make_tau(spacing, steps, num_train_timesteps))
                except ValueError as error:
                    raise UserError(f"{'--spacing' if listed else '--steps'}: {error}") from None
                clip = config.clip == "always" or (config.clip == "hat" and eta == "hat")
                setting = Setting(steps, eta, spacing, clip, tau)
                grid[setting.slug] = setting
    return list(grid.values())
