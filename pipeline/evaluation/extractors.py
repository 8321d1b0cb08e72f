"""Feature extractors with torch-fidelity's interface: its own, such as Inception, and the digits classifier."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor
from torch_fidelity.utils import create_feature_extractor

from pipeline import UserError
from pipeline.diffusion.network import set_tf32
from pipeline.storage.local import local_path, node_lock, sha256_of

DIGITS = "digits-classifier"
DIGITS_SHAPE = (1, 8, 8)
INCEPTION = "inception-v3-compat"
DIGITS_WEIGHTS = Path(str(files("pipeline") / "assets" / "digits-classifier" / "classifier.safetensors"))


@dataclass(frozen=True)
class ExtractorInfo:
    """An extractor, described by everything that its features depend on."""

    name: str
    weights: str | None
    """File or URL that the user gave; None for the package's own weights or torch-fidelity's download."""
    digest: str
    """SHA-256 of the weights file, or of the tensors if torch-fidelity does not show which file it loads."""
    width: int
    """Length of a feature vector, D."""


class DigitsNetwork(nn.Module):
    """A small convolutional classifier of 8×8 digits. Its features are averaged over positions, like Inception's."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out, stride in [(1, 32, 1), (32, 64, 1), (64, 64, 2), (64, 64, 1)]:
            layers += [nn.Conv2d(channels_in, channels_out, 3, stride, padding=1), nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.linear = nn.Linear(64, 10)

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


def extractor_info(name: str, weights: str | None) -> ExtractorInfo:
    """Return the description of an extractor, which is loaded once on the CPU.

    Raises:
        UserError: there is no extractor of this name, or its weights cannot be loaded.

    """
    extractor, file = _load(name, weights, "cpu")
    with torch.inference_mode():
        width = extractor(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))[0].shape[1]
    if file is None:
        sha = hashlib.sha256()
        for key, value in sorted(extractor.state_dict().items()):
            sha.update(key.encode() + value.cpu().numpy().tobytes())
        return ExtractorInfo(name, weights, sha.hexdigest(), width)
    return ExtractorInfo(name, weights, sha256_of(file), width)


def make_extractor(info: ExtractorInfo, device: str) -> FeatureExtractorBase:
    """Return the extractor with the layers that FID and IS read, or the one layer that both read.

    Raises:
        ValueError: its weights on this node are not those of `info`.
        UserError: its weights cannot be loaded.

    """
    set_tf32(False)  # cuDNN has it on by default
    extractor, file = _load(info.name, info.weights, device)
    if file is not None and (digest := sha256_of(file)) != info.digest:
        raise ValueError(f"{file} has digest {digest} on this node, not {info.digest}")
    return extractor


def _load(name: str, weights: str | None, device: str) -> tuple[FeatureExtractorBase, Path | None]:
    """Return the extractor and its weights file, None if unknown. A node downloads it once, under a lock."""
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        raise UserError(f"--extractor {name} is unknown: use {', '.join(FEATURE_EXTRACTORS_REGISTRY)}")
    file = _weights_file(name, weights)
    kind: Any = FEATURE_EXTRACTORS_REGISTRY[name]
    layers = list(dict.fromkeys(kind.get_default_feature_layer_for_metric(metric) for metric in ("fid", "isc")))
    try:
        if file is not None and not name.startswith("clip"):  # CLIP's are TorchScript, not a pickle
            # torch-fidelity reads with weights_only=False, so only files of pure tensors may reach it.
            load_file(file) if name == DIGITS else torch.load(file, map_location="cpu", weights_only=True)
        with node_lock("extractors"):
            extractor = create_feature_extractor(
                name, layers, cuda=device == "cuda", feature_extractor_weights_path=file, verbose=False
            )
    except Exception as error:  # not a checkpoint, another network's, offline: each loader raises its own errors
        where = f"--extractor-weights {weights}" if weights else file or "torch-fidelity's download"
        raise UserError.because(f"--extractor {name} cannot be loaded from {where}", error) from error
    return extractor, file


def _weights_file(name: str, weights: str | None) -> Path | None:
    if weights is not None:
        return local_path("--extractor-weights", weights)
    if name == DIGITS:
        return DIGITS_WEIGHTS
    if name != INCEPTION:
        return None
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name  # where torch-fidelity looks too
    with node_lock("extractors"):
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                prefix = file.stem.rsplit("-", 1)[1]
                torch.hub.download_url_to_file(URL_INCEPTION_V3, str(file), hash_prefix=prefix, progress=False)
            except (OSError, RuntimeError) as error:
                text = f"--extractor {name} cannot be downloaded, give its file by --extractor-weights"
                raise UserError.because(f"{text}: {URL_INCEPTION_V3}", error) from error
    return file
