"""Models by their names on the hub: which of the weights there are fetched."""

import re
import shutil
from fnmatch import fnmatch

import huggingface_hub
import pytest
from diffusers import UNet2DModel

from pipeline.diffusion.checkpoint import read_checkpoint
from pipeline.sweep.model import model_folder


@pytest.mark.parametrize(
    ("saved", "taken"),
    [
        ([{}, {"safe_serialization": False}, {"variant": "fp16"}], r"\.safetensors"),
        ([{"safe_serialization": False}, {"variant": "fp16"}], r"\.bin"),
        ([{"variant": "fp16"}], r"\.fp16\.safetensors"),
        ([{"max_shard_size": "20KB"}], r"-\d+-of-\d+\.safetensors"),
        (
            [{"max_shard_size": "20KB", "variant": "fp16", "safe_serialization": False}],
            r"\.fp16-\d+-of-\d+\.bin",
        ),
    ],
)
def test_the_weights_that_are_taken_are_those_that_are_fetched(tmp_path, monkeypatch, tiny_model, saved, taken):
    for options in saved:
        UNet2DModel.from_pretrained(f"{tiny_model}/unet", low_cpu_mem_usage=False).save_pretrained(
            tmp_path / "hub" / "unet", **options
        )

    def snapshot_download(name, allow_patterns):
        """Copy the files that match, by fnmatch on whole paths, as the hub's library does."""
        for file in (tmp_path / "hub").rglob("*"):
            path = file.relative_to(tmp_path / "hub")
            if file.is_file() and any(fnmatch(str(path), pattern) for pattern in allow_patterns):
                (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, tmp_path / name / path)
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    folder = model_folder("someone/unet")
    there, fetched = (
        {file.name for file in place.rglob("*") if file.suffix in (".safetensors", ".bin")}
        for place in (tmp_path / "hub", folder)
    )
    assert fetched == {name for name in there if re.fullmatch(f"diffusion_pytorch_model{taken}", name)} != set()
    assert read_checkpoint(folder).weights.name.startswith("diffusion_pytorch_model")
