"""Feature extractors: torch-fidelity's own, such as Inception, and the digits classifier."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from pipeline import UserError
from pipeline.device import Form, set_tf32
from pipeline.evaluation.digits import DIGITS, DIGITS_WEIGHTS, DIGITS_WIDTH
from pipeline.evaluation.features import Extractor
from pipeline.storage.local import local_path, node_lock, sha256_of

INCEPTION = "inception-v3-compat"
_WITH_LOGITS = (DIGITS, INCEPTION)
"""Those whose layer for IS is another than that for FID; a table, since torch-fidelity takes seconds to import."""


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


def has_logits(name: str) -> bool:
    """Return whether an extractor has logits of classes, without which there is no IS.

    torch-fidelity's VGG16, CLIP and DINOv2 have none: it names their features as the layer for IS too.
    """
    return name in _WITH_LOGITS


def extractor_info(name: str, weights: str | None) -> ExtractorInfo:
    """Return the description of an extractor. All but the package's own is loaded once on the CPU.

    Raises:
        UserError: there is no extractor of this name, or its weights cannot be loaded.

    """
    if (name, weights) == (DIGITS, None):
        return ExtractorInfo(name, weights, sha256_of(DIGITS_WEIGHTS), DIGITS_WIDTH)
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
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
    from torch_fidelity.utils import create_feature_extractor

    import pipeline.evaluation.digits_classifier  # noqa: F401  is then one of the registry

    if name not in FEATURE_EXTRACTORS_REGISTRY:
        raise UserError(f"--extractor {name} is unknown: use {', '.join(FEATURE_EXTRACTORS_REGISTRY)}")
    file = _weights_file(name, weights)
    kind: Any = FEATURE_EXTRACTORS_REGISTRY[name]
    metrics = ("fid", "isc") if has_logits(name) else ("fid",)
    layers = [kind.get_default_feature_layer_for_metric(metric) for metric in metrics]
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
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(URL_INCEPTION_V3).name  # where torch-fidelity looks too
    with node_lock("extractors"):
        if not file.exists():
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                prefix = file.stem.rsplit("-", 1)[1]
                torch.hub.download_url_to_file(URL_INCEPTION_V3, str(file), hash_prefix=prefix, progress=False)
            except (OSError, RuntimeError) as error:
                text = f"--extractor {name} cannot be downloaded, give its file by --extractor-weights"
                raise UserError.because(f"{text}: {URL_INCEPTION_V3}", error) from error
    return file
