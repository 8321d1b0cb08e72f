"""The paths of an output: every name in it that more than one module knows, and the rule for folders of settings."""

from dataclasses import dataclass

SWEEP = "sweep.json"
"""The first file: config, identity, model."""
RESULT = "result.json"
METRICS = "metrics.json"
REFERENCE = "features/reference.parquet"
REPORT = "report"
EVALUATIONS = "evaluations"
"""Folder of other evaluations than the sweep's own, each a folder with the same names in it."""
EVALUATION = "evaluation.json"
"""The first file of such a folder."""
MANIFEST = "_manifest.json"
"""The name of a list of a setting's image files."""
SET_ASIDE = "_set-aside"
"""Where `verify --repair` moves files."""
TOP = {SWEEP, RESULT, METRICS, REPORT, EVALUATIONS, SET_ASIDE, "images", "features"}
"""What lies at the top of an output."""


def folder(kind: str, slug: str) -> str:
    """Return the folder of one setting's files, by hive's rule; `kind` is "images", "features", or more."""
    return f"{kind}/setting={slug}"


def manifest(slug: str) -> str:
    """Return the path of the list of a setting's image files, which closes the setting."""
    return f"{folder('images', slug)}/{MANIFEST}"


@dataclass(frozen=True)
class Results:
    """The paths of one evaluation's results, below the output."""

    prefix: str = ""
    """"" for the sweep's own."""

    @property
    def metrics(self) -> str:
        """All rows, in the order of the grid."""
        return self.prefix + METRICS

    @property
    def reference(self) -> str:
        """The reference, as features or as statistics."""
        return self.prefix + REFERENCE

    @property
    def evaluation(self) -> str:
        """What the evaluation is, where it is not the sweep's own."""
        return self.prefix + EVALUATION

    def row(self, slug: str) -> str:
        """Return the path of a setting's row of metrics.json."""
        return f"{self.prefix}{folder('features', slug)}/_metrics.json"

    def report(self, name: str = "") -> str:
        """Return the path of a file of the report, or what such paths begin with."""
        return f"{self.prefix}{REPORT}/{name}"
