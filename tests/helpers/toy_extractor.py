"""An extractor that is not the project's, registered by one line: the mean of each quarter, also as logits."""

import torch
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import register_feature_extractor

from pipeline.evaluation.extractors import EXTRACTORS, Kind


class Quarters(FeatureExtractorBase):
    def __init__(self, name, features_list, feature_extractor_weights_path=None, **kwargs):
        super().__init__(name, features_list)

    @staticmethod
    def get_provided_features_list():
        return "means", "classes"

    def forward(self, images):
        means = torch.nn.functional.adaptive_avg_pool2d(images[:, :1].float(), 2).flatten(1)
        return tuple({"means": means, "classes": means / 50}[layer] for layer in self.features_list)


register_feature_extractor("quarters", Quarters)


def registered(monkeypatch):
    """Register it until the test ends."""
    monkeypatch.setitem(EXTRACTORS, "quarters", Kind("means", "classes", __name__))
