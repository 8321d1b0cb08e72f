"""EXTRACTORS: torch-fidelity's own, such as Inception, and the digits classifier. One is a file and a line here."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file

from pipeline import UserError
from pipeline.device import Form, set_tf32
from pipeline.evaluation.digits import DIGITS, DIGITS_WEIGHTS, DIGITS_WIDTH
from pipeline.evaluation.features import Extractor
from pipeline.images.digits import DIGITS_SHAPE
from pipeline.storage.local import local_path, node_lock, sha256_of

INCEPTION = "inception-v3-compat"


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


def _inception_weights() -> Path:
    """Return the file of Inception's weights, which a node downloads once. Raises UserError."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name  # where torch-fidelity looks too
    with node_lock("extractors"):
        if not file.exists():
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                prefix = file.stem.rsplit("-", 1)[1]
                torch.hub.download_url_to_file(URL_INCEPTION_V3, str(file), hash_prefix=prefix, progress=False)
            except (OSError, RuntimeError) as error:
                text = f"--extractor {INCEPTION} cannot be downloaded, give its file by --extractor-weights"
                raise UserError.because(f"{text}: {URL_INCEPTION_V3}", error) from error
    return file


@dataclass(frozen=True)
class Kind:
    """What is known of an extractor before it is made; torch-fidelity takes seconds to import."""

    features: str
    """The layer that FID, KID, precision and recall read."""
    logits: str | None = None
    """The layer that IS reads; None if it has no logits of classes, where torch-fidelity names its features."""
    module: str | None = None
    """The module that registers it with torch-fidelity as it is imported; None for torch-fidelity's own."""
    weights: Callable[[], Path] | None = None
    """Returns the file of its own weights; None if torch-fidelity does not show which file it loads."""
    weights_format: Literal["pickle", "safetensors", "TorchScript"] = "pickle"
    width: int | None = None
    """Length of a feature vector; None if it has to be loaded to be known."""
    image_shape: tuple[int, ...] | None = None
    """(C, H, W) of the only images that it knows; None if it knows all."""


_CLIP = Kind("clip", weights_format="TorchScript")
_DINO = Kind("dinov2")
EXTRACTORS = {
    INCEPTION: Kind("2048", "logits_unbiased", weights=_inception_weights),
    "vgg16": Kind("fc2_relu"),
    **{f"clip-{name}": _CLIP for name in ("rn50", "rn101", "rn50x4", "rn50x16", "rn50x64")},
    **{f"clip-vit-{name}": _CLIP for name in ("b-32", "b-16", "l-14", "l-14-336px")},
    **{f"dinov2-vit-{size}-14": _DINO for size in "sblg"},
    DIGITS: Kind(
        "64",
        "logits",
        "pipeline.evaluation.digits_classifier",
        weights=lambda: DIGITS_WEIGHTS,
        weights_format="safetensors",
        width=DIGITS_WIDTH,
        image_shape=DIGITS_SHAPE,
    ),
}
"""Name → extractor, as torch-fidelity names them."""


def kind_of(name: str) -> Kind:
    """Return what is known of an extractor. Raises UserError if there is none of this name."""
    if name not in EXTRACTORS:
        raise UserError(f"--extractor {name} is unknown: use {', '.join(EXTRACTORS)}")
    return EXTRACTORS[name]


def has_logits(name: str) -> bool:
    """Return whether an extractor has logits of classes, without which there is no IS; False if it is unknown."""
    return name in EXTRACTORS and EXTRACTORS[name].logits is not None


def extractor_info(name: str, weights: str | None) -> ExtractorInfo:
    """Return the description of an extractor, which is loaded once on the CPU where that is needed for its width.

    Raises:
        UserError: there is no extractor of this name, or its weights cannot be loaded.

    """
    kind = kind_of(name)
    if weights is None and kind.weights is not None and kind.width is not None:
        return ExtractorInfo(name, weights, sha256_of(kind.weights()), kind.width)
    extractor, file = _load(name, weights, "cpu")
    with torch.inference_mode():
        width = extractor(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))[0].shape[1]
    if file is None:
        sha = hashlib.sha256()
        for key, value in sorted(extractor.state_dict().items()):
            sha.update(key.encode() + value.cpu().numpy().tobytes())
        return ExtractorInfo(name, weights, sha.hexdigest(), width)
    return ExtractorInfo(name, weights, sha256_of(file), width)


def make_extractor(info: ExtractorInfo, device: str, form: Form = "plain") -> Extractor:
    """Return the extractor with the layers that FID and IS read, or FID's alone if it has no logits.

    Args:
        info: the extractor.
        device: "cpu" or "cuda".
        form: "plain", as torch-fidelity has it. In any other its values are in channels_last order, which changes the
            last bits of features; it is not compiled.

    Raises:
        ValueError: its weights on this node are not those of `info`.
        UserError: its weights cannot be loaded.

    """
    set_tf32(False)  # cuDNN has it on by default
    extractor, file = _load(info.name, info.weights, device)
    if file is not None and (digest := sha256_of(file)) != info.digest:
        raise ValueError(f"{file} has digest {digest} on this node, not {info.digest}")
    if form != "plain":
        extractor.to(memory_format=torch.channels_last)
    return extractor  # type: ignore[no-any-return]


def _load(name: str, weights: str | None, device: str) -> tuple[Any, Path | None]:
    """Return the extractor and its weights file, None if unknown. A node downloads it once, under a lock."""
    from torch_fidelity.utils import create_feature_extractor

    kind = kind_of(name)
    if kind.module is not None:
        import_module(kind.module)
    if weights is not None:
        file: Path | None = local_path("--extractor-weights", weights)
    else:
        file = None if kind.weights is None else kind.weights()
    layers = [layer for layer in (kind.features, kind.logits) if layer is not None]
    try:
        # torch-fidelity reads with weights_only=False, so only files of pure tensors may reach it.
        if file is not None and kind.weights_format == "safetensors":
            load_file(file)
        elif file is not None and kind.weights_format == "pickle":
            torch.load(file, map_location="cpu", weights_only=True)
        with node_lock("extractors"):
            extractor = create_feature_extractor(
                name, layers, cuda=device == "cuda", feature_extractor_weights_path=file, verbose=False
            )
    except Exception as error:  # not a checkpoint, another network's, offline: each loader raises its own errors
        where = f"--extractor-weights {weights}" if weights else file or "torch-fidelity's download"
        raise UserError.because(f"--extractor {name} cannot be loaded from {where}", error) from error
    return extractor, file
