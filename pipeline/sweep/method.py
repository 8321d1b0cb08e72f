"""Method: all of a setting but its S, which is a row of a table and a line of a figure; and its label."""

import dataclasses
import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.diffusion import samplers
from pipeline.diffusion.samplers.base import Sampler
from pipeline.diffusion.spacing import parse_spacing


@dataclass(frozen=True)
class Method:
    """What papers name in a row of a table: all that changes pixels for a given model, noise and S.

    A field that is added is in labels, slugs and rows. It needs a default, which slugs leave out and earlier rows have.
    """

    sampler: Sampler
    spacing: str
    clip: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def beside_sampler(self) -> dict[str, Any]:
        """The fields by name but the sampler, which has options of its own."""
        return {name: value for name, value in self.values.items() if name != "sampler"}

    @property
    def texts(self) -> dict[str, str]:
        """What a label says of each field; empty for what goes without saying."""
        clip = "" if self.clip == self.sampler.clips else "clipped" if self.clip else "not clipped"
        own = {"sampler": self.sampler.label, "spacing": self.spacing, "clip": clip}
        return {name: own.get(name, f"{name} = {value}") for name, value in self.values.items()}

    @property
    def rest(self) -> tuple[str, ...]:
        """The texts but the sampler's."""
        return tuple(text for name, text in self.texts.items() if name != "sampler")

    def slug(self, steps: int) -> str:
        """Return the name of the method's setting with this S in folders and messages."""
        spacing = self.spacing
        if parse_spacing(spacing) is not None:
            spacing = "tau" + hashlib.sha256(spacing.encode()).hexdigest()[:8]
        parts = [self.sampler.name, f"S{steps}", self.sampler.slug, spacing]
        for field in dataclasses.fields(self)[2:]:
            if (value := getattr(self, field.name)) != field.default:
                parts.append(field.name if value is True else f"{field.name}{value}")
        return "-".join(filter(None, parts))

    @classmethod
    def read(cls, saved: Mapping[str, Any]) -> tuple["Method", dict[str, Any]]:
        """Return the method of a saved setting or row, and those of its values that are no part of a method.

        Raises:
            ValueError: this release does not know the sampler, or the value of an option.
            KeyError: the values are not those of a setting.

        """
        sampler = samplers.make(saved.get("sampler", "ddim"), dict(saved))
        names = {field.name for field in dataclasses.fields(cls)}
        given = {name: value for name, value in saved.items() if name in names - {"sampler", "spacing"}}
        others = {k: v for k, v in saved.items() if k not in names | sampler.options.keys()}
        return cls(sampler, saved["spacing"], **given), others


def labels(methods: Iterable[Method], short: bool = False, besides: Collection[str] = ()) -> dict[Method, str]:
    """Return a label for each method: its sampler's, and what else the methods differ in.

    Args:
        methods: all that a reader sees together.
        short: where they differ in options of one sampler alone, leave out its title.
        besides: fields that stand beside the label, as in the title of a table.

    """
    known = dict.fromkeys(methods)
    alone = short and len({one.sampler.title for one in known}) == 1 and all(one.sampler.options_label for one in known)
    first = next(iter(known), None)
    shown = {name for one in known if first for name, value in one.values.items() if value != first.values[name]}
    texts = {}
    for one in known:
        title = one.sampler.options_label if alone else one.sampler.label
        others = [text for name, text in one.texts.items() if name in shown and name not in ("sampler", *besides)]
        texts[one] = ", ".join(filter(None, [title, *others]))
    return texts
