"""Contrast: settings of outputs beside those of a baseline output, by the features that are stored in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.evaluation.features import Features
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import Measured
from pipeline.regression.compared import TwoSettings, compared, decided, equal_features
from pipeline.regression.sides import Side, common_reference, differing, pairs, same_noise
from pipeline.sweep.grid import Setting
from pipeline.sweep.measured import images_per_second, read_setting
from pipeline.sweep.shards import plan


@dataclass(frozen=True)
class Contrast(TwoSettings):
    """A setting beside one of the baseline. Pairs of values are (the baseline's, the other's)."""

    settings: tuple[Setting, Setting]
    same: bool
    """Whether the images are pairs, and all their features are equal."""
    images_per_second: tuple[float, float]
    devices: tuple[str, str]
    """The devices that drew the images."""
    releases: tuple[str, str]
    """The releases of torch that drew them."""

    @property
    def quality(self) -> str:
        """By FID's interval "noise", "better" or "worse"; "unknown" if there is none, "same" for equal features."""
        of_side = {"above": "worse", "below": "better", "around": "noise", "unknown": "unknown"}
        return "same" if self.same else of_side[self.fid.side]


@dataclass(frozen=True)
class Beside:
    """A side beside the baseline."""

    baseline: Side
    other: Side
    paired: bool
    """Whether image i of both has the same noise."""
    contrasts: list[Contrast]

    @property
    def differing(self) -> dict[str, tuple[str, str]]:
        """The conditions that differ: name → (the baseline's, the other's)."""
        drawn_by = {
            "device": [contrast.devices for contrast in self.contrasts],
            "torch": [contrast.releases for contrast in self.contrasts],
        }
        conditions = differing(self.baseline, self.other)
        for name, names in drawn_by.items():
            of_baseline, of_other = ("/".join(sorted(set(of_side))) for of_side in zip(*names, strict=True))
            if of_baseline != of_other:
                conditions[name] = of_baseline, of_other
        return conditions


def contrast(sides: Sequence[Side]) -> list[Beside]:
    """Return each side but the first beside the first, the baseline. Nothing is written.

    Raises:
        UserError: the sides have no setting in common, or were measured by another extractor or reference.
        DamagedFileError: features or a reference are missing or damaged.

    """
    baseline, *others = sides
    tasks = [(i, one, two) for i, of_other in enumerate(pairs(baseline, others)) for one, two in of_other]
    reference = common_reference(sides)
    # by the baseline's settings, each of which is then read once, and its features need not be kept
    tasks.sort(key=lambda task: baseline.run.settings.index(task[1]))
    contrasts: list[list[Contrast]] = [[] for _ in others]
    theirs = None
    for i, one, two in tasks:
        if theirs is None or theirs.setting != one:
            theirs = _read(baseline, one, reference)
        contrasts[i].append(_contrast(theirs, _read(others[i], two, reference), same_noise(baseline, others[i])))
    levelled = iter(decided([one for of_other in contrasts for one in of_other]))
    return [
        Beside(baseline, other, same_noise(baseline, other), [next(levelled) for _ in of_other])
        for other, of_other in zip(others, contrasts, strict=True)
    ]


@dataclass(frozen=True)
class _Content:
    setting: Setting
    parts: list[Features]
    whole: Features
    measured: dict[str, Measured]

    @property
    def images_per_second(self) -> float:
        """The rate of one worker, as in metrics.json."""
        return images_per_second(self.parts)

    def names(self, key: str) -> str:
        """Return the distinct values of the files' metadata as text."""
        return "/".join(sorted({str(part.metadata[key]) for part in self.parts}))


def _read(side: Side, setting: Setting, reference: Reference) -> _Content:
    config = side.run.config
    shards = plan(setting, config.num_images, config.shard_size)
    parts, whole = read_setting(side.run.storage, side.run.measurement, shards)
    return _Content(setting, parts, whole, measure(whole.features, whole.logits, reference))


def _contrast(theirs: _Content, ours: _Content, in_pairs: bool) -> Contrast:
    return Contrast(
        compared(ours.measured, theirs.measured, in_pairs),
        (theirs.setting, ours.setting),
        in_pairs and equal_features(theirs.whole, ours.whole),
        (theirs.images_per_second, ours.images_per_second),
        (theirs.names("device"), ours.names("device")),
        (theirs.names("torch"), ours.names("torch")),
    )
