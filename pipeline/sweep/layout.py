"""The paths of an output: every name that more than one module uses, and the rule for folders of settings."""

from dataclasses import dataclass

SWEEP = "sweep.json"
"""The first file of an output: config, identity and model."""
STUDY = "study.json"
"""The first file of an output that is no sweep's: kind, config, identity and model."""
RESULT = "result.json"
METRICS = "metrics.json"
CARD = "README.md"
"""What a sweep's output says of itself to `datasets` and to people."""
REFERENCE = "features/reference.parquet"
"""The reference in one file, if it is no more than a shard, and of earlier releases."""
REPORT = "report"
SUMMARY = "summary.txt"
"""The name of the text of a study's report."""
EVALUATIONS = "evaluations"
"""The folder of measurements other than the sweep's own; each has a folder with the same names in it."""
EVALUATION = "evaluation.json"
"""The first file of such a folder: the measurement."""
MANIFEST = "_manifest.json"
"""The name of a setting's manifest, the list of its image files."""
SET_ASIDE = "_set-aside"
"""The folder to which `verify --repair` moves files."""
TOP = {RESULT, METRICS, CARD, REPORT, EVALUATIONS, SET_ASIDE}
"""The names at the top of an output besides its first file and the folders of its works."""


def folder(kind: str, slug: str) -> str:
    """Return the folder of one setting's files, named as in Hive; `kind` is "images" or "features"."""
    return f"{kind}/setting={slug}"


def slug_of(path: str) -> str:
    """Return the slug of the setting that a file is of: its folder is named by it, or the file itself."""
    return path.partition("/")[2].partition("/")[0].removeprefix("setting=").removesuffix(".parquet")


def manifest(slug: str) -> str:
    """Return the path of a setting's manifest, which lists its image files and marks the setting as complete."""
    return f"{folder('images', slug)}/{MANIFEST}"


@dataclass(frozen=True)
class Paths:
    """The paths of one measurement's results, below the output."""

    prefix: str = ""
    """What the paths begin with; "" for the sweep's own measurement."""

    @property
    def metrics(self) -> str:
        """The path of the file with all rows, in the order of the grid."""
        return self.prefix + METRICS

    @property
    def reference(self) -> str:
        """The path of a reference in one file, as features or as statistics."""
        return self.prefix + REFERENCE

    def reference_shard(self, first: int, end: int) -> str:
        """Return the path of the features of the reference's images first ≤ i < end, one of several files."""
        return f"{self.prefix}{REFERENCE.removesuffix('.parquet')}/images-{first:09d}-{end:09d}.parquet"

    def row(self, slug: str) -> str:
        """Return the path of a setting's row of metrics.json."""
        return f"{self.prefix}{folder('features', slug)}/_metrics.json"

    def consistency(self, slug: str) -> str:
        """Return the path of a setting's consistency with its sampler's largest S."""
        return f"{self.prefix}{folder('features', slug)}/_consistency.json"

    def report(self, name: str = "") -> str:
        """Return the path of a file of the report, or without a name what such paths begin with."""
        return f"{self.prefix}{REPORT}/{name}"
