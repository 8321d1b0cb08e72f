"""Fixtures: a tiny random U-Net on disk, random Inception weights, and a quick config."""

import pytest
import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch_fidelity import feature_extractor_inceptionv3
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from pipeline.evaluation.digits_classifier import DigitsExtractor
from pipeline.evaluation.extractors import EXTRACTORS, Kind
from pipeline.sweep.config import SweepConfig

torch.set_num_threads(1)  # two processes of tests share the cores


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A folder with a random U-Net for 8×8 gray images, saved by diffusers as a pipeline's parts."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 8),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    )
    network.save_pretrained(folder / "unet")
    DDIMScheduler(1000, clip_sample=False).save_pretrained(folder / "scheduler")
    return str(folder)


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory):
    """Random weights in the format of torch-fidelity's weights-inception-2015-12-05-6726825d.pth."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_extractor_inceptionv3, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"])
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)  # features of about one, whatever the depth
    file = tmp_path_factory.mktemp("inception") / "weights-inception.pth"
    torch.save(network.state_dict(), file)
    return file


@pytest.fixture
def one_layer():
    """The name of an extractor without logits, whose features are those of the digits classifier."""
    register_feature_extractor("one-layer", DigitsExtractor)
    EXTRACTORS["one-layer"] = Kind("64")
    yield "one-layer"
    del FEATURE_EXTRACTORS_REGISTRY["one-layer"], EXTRACTORS["one-layer"]


@pytest.fixture
def locked(tmp_path):
    """The URL of a store that opens for who has `locked.OPTIONS` alone."""
    import locked  # noqa: F401  registers its protocol

    return f"locked://{tmp_path}/locked"


@pytest.fixture
def small(tmp_path):
    """A sweep of the embedded model that takes seconds: 2 settings × 4 shards, the last one short."""
    return SweepConfig(
        out=str(tmp_path / "out"), steps=(5,), eta=(0.0, "hat"), num_images=90, batch_size=16, shard_size=25
    )
