"""A metric that is not the project's, registered by one line: the mean norm of the features."""

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.metrics.base import Metric
from pipeline.evaluation.uncertainty import Measured


class MeanNorm(Metric):
    name = "norm"
    title = "mean norm"
    higher_is_better = True
    in_tables = compared = True

    def decimals(self, value):
        return 5

    def compute(self, inputs):
        norms = inputs.features.double().norm(dim=1)
        return Measured(float(norms.mean()), norms - norms.mean())


def registered(monkeypatch):
    """Register it until the test ends."""
    monkeypatch.setitem(METRICS, MeanNorm.name, MeanNorm())
