"""Metric: a number of a setting's images with its error, its keys in a row of metrics.json, and how it is shown."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, TypeVar

from torch import Tensor

from pipeline.evaluation.reference import Reference
from pipeline.evaluation.uncertainty import Measured

T = TypeVar("T")

Need = Literal["logits", "reference features"]
"""What a metric may need besides the images' features and the reference's mu and sigma, which are always known."""
SPLITS = "isc_splits"


def metric_options(num_images: int, num_reference: float) -> dict[str, Any]:
    """Return torch-fidelity's options for this many images, under its own names.

    From 8,000 images on they are its defaults: a KID subset of 1,000, 10 IS splits, the third neighbour. With fewer
    images a subset is an eighth of them, so that the 100 subsets differ; with a handful of images all three shrink.
    """
    fewest = int(min(num_images, num_reference))
    return {
        "kid_subset_size": max(2, min(1000, fewest // 8)),
        SPLITS: min(10, num_images),
        "prc_neighborhood": min(3, fewest - 1),
    }


def listed(names: Sequence[str]) -> str:
    """Return names as "A", "A and B" or "A, B and C"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def with_error(text: Callable[[Any, Any], str], value: Any, error: Any) -> str:
    """Return a number with "± " and its standard error if that is known, "–" if the number itself is not.

    `text` is of (value, number), and returns the number in the form of the value.
    """
    if value is None:
        return "–"
    return text(value, value) + ("" if error is None else f" ± {text(value, error)}")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What metrics are computed from."""

    features: Tensor
    """float32, (N, D), in the order of the seeds; N ≥ 2."""
    logits: Tensor | None
    """float32, (N, K), in the same order; None if the extractor has none."""
    reference: Reference
    """The reference that the images are compared with."""

    @cached_property
    def options(self) -> dict[str, Any]:
        """See `metric_options`; those of IS are left out where there are no logits."""
        real = self.reference.features
        options = metric_options(len(self.features), math.inf if real is None else len(real))
        return {name: value for name, value in options.items() if name != SPLITS or self.logits is not None}

    def has(self, need: Need) -> bool:
        """Return whether something is known that a metric may need."""
        return (self.logits if need == "logits" else self.reference.features) is not None

    def once(self, compute: Callable[["Inputs"], T]) -> T:
        """Return what a function makes of these inputs, computed once for all metrics that ask for it."""
        if compute not in self._computed:
            self._computed[compute] = compute(self)
        value: T = self._computed[compute]
        return value

    @cached_property
    def _computed(self) -> dict[Callable[["Inputs"], Any], Any]:
        return {}


class Metric(ABC):
    """A number of a setting's images: how it is computed, and how tables, page, CSV and comparisons show it."""

    name: ClassVar[str]
    """Its name in `METRICS` and in what jobs/compare.py writes."""
    title: ClassVar[str]
    """Its name for readers."""
    higher_is_better: ClassVar[bool] = False
    needs: ClassVar[tuple[Need, ...]] = ()
    """What it needs. Where that is missing its keys are None, and it is not shown."""
    in_tables: ClassVar[bool] = False
    """Whether tables have it, for the terminal and in report/; page and CSV have all metrics."""
    compared: ClassVar[bool] = False
    """Whether jobs/compare.py and jobs/nightly.py compute its differences, for which images may be pairs."""
    significant: ClassVar[int | None] = None
    """Significant digits of its differences, however small; None shows them with its `decimals`."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Its keys in a row of metrics.json, in the order of `values`: that of its value is the first."""
        return self.name, f"{self.name}_se"

    @property
    def key(self) -> str:
        """The key of its value."""
        return self.keys[0]

    @property
    def se(self) -> str | None:
        """The key of its standard error; None if it has none."""
        return f"{self.name}_se" if f"{self.name}_se" in self.keys else None

    @property
    def heading(self) -> str:
        """The title of a table of it, as "FID ↓": which way is better."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"

    @property
    def latex_heading(self) -> str:
        """The title of a table of it in LaTeX."""
        return f"{self.title} $\\{'up' if self.higher_is_better else 'down'}arrow$"

    def decimals(self, value: float) -> int:
        """Return with how many decimals a value and its error are shown."""
        return 2 if abs(value) >= 1 else 3

    def text(self, value: float, number: float) -> str:
        """Return a number, the value or its error, as text in the form of the value."""
        return f"{number:.{self.decimals(value)}f}"

    def shown(self, row: Mapping[str, Any]) -> str:
        """Return it as text from a row of its keys: the value and, if it is known, "± " and its error."""
        return with_error(self.text, row.get(self.key), row.get(self.se) if self.se else None)

    def shown_difference(self, number: float) -> str:
        """Return a difference, or an end of its interval, as text with its sign.

        It has `significant` digits, else `decimals`; three digits where with its decimals it would look like 0.
        """
        if self.significant is not None:
            return f"{number:+.{self.significant}g}"
        text = f"{number:+.{self.decimals(number)}f}"
        return f"{number:+.3g}" if number and not float(text) else text

    @abstractmethod
    def compute(self, inputs: Inputs) -> Measured | None:
        """Return the value with how it depends on the images; None if they are too few. `inputs` has what it needs."""

    def values(self, measured: Measured) -> tuple[float | None, ...]:
        """Return the values of its keys."""
        return measured.value, measured.se

    def row(self, measured: Measured | None) -> dict[str, float | None]:
        """Return its part of a row of metrics.json; every value is None if it is not measured."""
        if measured is None:
            return dict.fromkeys(self.keys)
        return dict(zip(self.keys, self.values(measured), strict=True))

    def measure(self, inputs: Inputs) -> Measured | None:
        """Return the value with how it depends on the images; None if something that it needs is missing."""
        return self.compute(inputs) if all(map(inputs.has, self.needs)) else None
