"""IS, the Inception Score, by torch-fidelity's function, and its influence function."""

import numpy as np
import torch
from torch import Tensor

from pipeline.evaluation.metrics.base import SPLITS, Inputs, Metric
from pipeline.evaluation.uncertainty import Measured


class InceptionScore(Metric):
    """IS of torch-fidelity's shuffled splits."""

    name = "is"
    title = "IS"
    higher_is_better = True
    needs = ("logits",)
    in_tables = compared = True
    significant = 3
    keys = ("is_mean", "is_std", "is_se")

    def decimals(self, value: float) -> int:
        """Return 2, whatever the value."""
        return 2

    def compute(self, inputs: Inputs) -> Measured:
        """Return IS. Its spread is that over the splits, which is no error."""
        from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

        assert inputs.logits is not None
        splits = inputs.options[SPLITS]
        score = isc_features_to_metric(inputs.logits, splits=splits)
        influence = inception_score_influence(inputs.logits, splits)
        return Measured(score[KEY_METRIC_ISC_MEAN], influence, spread=score[KEY_METRIC_ISC_STD])

    def values(self, measured: Measured) -> tuple[float | None, ...]:
        """Return IS, its spread and its error."""
        return measured.value, measured.spread, measured.se


def inception_score_influence(logits: Tensor, splits: int) -> Tensor:
    """Return the influence function of torch-fidelity's IS, for float32 logits (N, K): float64, (N,).

    IS is the mean over splits of exp(E[log p - log q]) with q = E[p], and each split has its own images.
    """
    from torch_fidelity.defaults import DEFAULTS  # a slow import that only workers need

    n = len(logits)
    log_p = logits.double().log_softmax(dim=1)
    order = np.random.RandomState(DEFAULTS["rng_seed"]).permutation(n)
    influence = torch.zeros(n, dtype=torch.float64)
    for i in range(splits):
        of = torch.from_numpy(order[i * n // splits : (i + 1) * n // splits])
        log = log_p[of]
        p = log.exp()
        divergence = (p * (log - p.mean(0).log())).sum(1)
        influence[of] = divergence.mean().exp() * (divergence - divergence.mean()) * n / (splits * len(of))
    return influence
