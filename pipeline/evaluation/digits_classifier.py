"""The classifier of digits as an extractor that torch-fidelity knows once this module is imported, which is slow."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import register_feature_extractor

from pipeline.evaluation.digits import DIGITS, DIGITS_WEIGHTS, DIGITS_WIDTH


class DigitsNetwork(nn.Module):
    """A small convolutional classifier of 8×8 digits. Its features are averaged over positions, like Inception's."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out, stride in [(1, 32, 1), (32, 64, 1), (64, 64, 2), (64, 64, 1)]:
            layers += [nn.Conv2d(channels_in, channels_out, 3, stride, padding=1), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(DIGITS_WIDTH, 10)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (features (N, 64), logits (N, 10)) for x of shape (N, 1, 8, 8) in [-1, 1]."""
        features = self.convolutions(x).mean(dim=(2, 3))
        return features, self.linear(features)


class DigitsExtractor(FeatureExtractorBase):  # type: ignore[misc]
    """`DigitsNetwork` as a torch-fidelity extractor: input uint8 (N, 3, 8, 8), gray; layers "64" and "logits"."""

    def __init__(
        self,
        name: str,
        features_list: list[str],
        feature_extractor_weights_path: str | Path | None = None,
        **kwargs: object,  # torch-fidelity passes all its options to every extractor
    ) -> None:
        super().__init__(name, features_list)
        self.network = DigitsNetwork()
        self.network.load_state_dict(load_file(feature_extractor_weights_path or DIGITS_WEIGHTS))

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """Return the names of the layers."""
        return ("64", "logits")

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """Return the name of the layer that a metric reads."""
        return "logits" if metric == "isc" else "64"

    @staticmethod
    def can_be_compiled() -> bool:
        """Return False: torch.compile takes longer than it saves here."""
        return False

    @staticmethod
    def get_dummy_input_for_compile() -> Tensor:
        """Return an input of zeros: uint8, (1, 3, 8, 8)."""
        return torch.zeros(1, 3, 8, 8, dtype=torch.uint8)

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:
        """Return the requested layers, float32, in the requested order."""
        features, logits = self.network(input[:, :1] / 127.5 - 1)
        return tuple({"64": features, "logits": logits}[layer] for layer in self.features_list)


register_feature_extractor(DIGITS, DigitsExtractor)
