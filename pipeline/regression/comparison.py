"""Comparison: one setting of tonight's run and of the baseline, and the differences of their metrics."""

from dataclasses import dataclass
from typing import Any

from pipeline.regression.compared import TwoSettings
from pipeline.sweep.grid import Setting


@dataclass(frozen=True)
class Speed:
    """How fast a setting was drawn."""

    images_per_second: float
    """Of one worker, the median over the shards: it falls when a machine has other work, so it is shown and no more."""
    devices: list[str]
    """Names of the devices."""
    network_share: float | None
    """The share of the drawing that as many network calls as the setting has took, each as long as on average. Other
    work on the machine slows both alike; a sampler that does more than before, or calls the network more often, lowers
    it. None if it was not timed."""


@dataclass(frozen=True)
class Comparison(TwoSettings):
    """What is measured of one setting, before the gate decides. The baseline's features are to tonight's reference."""

    setting: Setting
    row: dict[str, Any]
    """Tonight's row of metrics.json."""
    baseline_row: dict[str, Any]
    """The baseline's row of metrics.json; its FID is that of the baseline's features if the extractor is the same."""
    differing: list[int]
    """Seeds of the images whose pixels are not the baseline's, ascending."""
    equal_features: bool
    """Whether features and logits are the baseline's."""
    speeds: tuple[Speed, Speed]
    """The baseline's, tonight's."""

    @property
    def change(self) -> float:
        """The difference of FID relative to the baseline's FID."""
        return self.fid.difference.value / self.fid.baseline
