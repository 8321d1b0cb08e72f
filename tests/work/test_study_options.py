"""Options of studies: each that changes a file makes another study, and --encodings are of the same model and store."""

import json

import pytest
import torch
from here import run_here
from locked import OPTIONS
from PIL import Image
from safetensors.torch import load_file, save_file

from pipeline import UserError
from pipeline.evaluation.digits import DIGITS_WEIGHTS
from pipeline.storage.store import DamagedFileError, Storage
from pipeline.sweep.reconstructed import Reconstructed, read_reconstructed, write_reconstructed
from pipeline.sweep.shards import plan
from pipeline.work.between import InterpolateConfig, open_interpolation
from pipeline.work.claim import claim
from pipeline.work.reconstruct import ReconstructConfig, open_reconstruction
from pipeline.work.trace import TraceConfig, open_trace

SMALL = {"steps": (5,), "batch_size": 8}
STUDIES = {
    "interpolation": (open_interpolation, InterpolateConfig, SMALL | {"seeds": (0, 1, 2, 3)}),
    "reconstruction": (open_reconstruction, ReconstructConfig, SMALL | {"num_images": 8, "shard_size": 8}),
    "trajectory": (open_trace, TraceConfig, SMALL | {"seeds": (0, 1)}),
}
CHANGES = {
    "interpolation": {"seeds": (4, 5, 6, 7), "count": 5, "seed": 1, "dtype": "bfloat16", "batch_size": 9},
    "reconstruction": {"num_images": 7, "shard_size": 9, "seed": 1, "dtype": "bfloat16"},
    "trajectory": {"seeds": (1, 0), "columns": 3, "seed": 1, "dtype": "bfloat16", "batch_size": 9},
}


def opened(kind, out, **changes):
    """A study that is opened, and not claimed: nothing is written."""
    open_one, config, given = STUDIES[kind]
    return open_one(config(out=str(out), **given | changes), None)


@pytest.mark.parametrize("kind", STUDIES)
def test_an_option_that_changes_a_file_makes_another_study(tmp_path, kind, tiny_model):
    claim(opened(kind, tmp_path))
    for name, value in (CHANGES[kind] | {"model": tiny_model}).items():
        with pytest.raises(UserError, match=rf"this run \w{{16}} \(.*{name} .* there, .* here"):
            opened(kind, tmp_path, **{name: value})
    opened(kind, tmp_path, steps=(6,))  # the grid may be another


def test_other_images_and_another_extractor_make_another_study(tmp_path, pictures):
    claim(opened("reconstruction", tmp_path / "r"))
    with pytest.raises(UserError, match="images digits there, .* here"):
        opened("reconstruction", tmp_path / "r", images=str(pictures))
    claim(opened("interpolation", tmp_path / "i"))
    save_file({name: 2 * tensor for name, tensor in load_file(DIGITS_WEIGHTS).items()}, tmp_path / "other")
    with pytest.raises(UserError, match="extractor .* there, .* here"):
        opened("interpolation", tmp_path / "i", extractor_weights=str(tmp_path / "other"))


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "pictures").mkdir()
    for i in range(8):
        Image.new("L", (8, 8), i).save(tmp_path / "pictures" / f"{i}.png")
    return tmp_path / "pictures"


def encodings(out, storage_options=None, **changes):
    """A reconstruction whose x_T are noise: what an interpolation needs of it, without a network."""
    config = ReconstructConfig(out=str(out), **STUDIES["reconstruction"][2] | changes)
    study = open_reconstruction(config, storage_options)
    claim(study)
    (setting,), x_T = study.settings, torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for shard in plan(setting, 8, 8):
        write_reconstructed(study.storage, shard, Reconstructed(x_T, torch.zeros(8).double()), study_print(study))
    return study


def study_print(study):
    return study.settings[0].fingerprint(study.identity)


def test_encodings_of_another_model_are_refused(tmp_path, tiny_model):
    encodings(tmp_path / "r")
    opened("interpolation", tmp_path / "i", encodings=str(tmp_path / "r"))
    with pytest.raises(UserError, match="has no ddim-S5-eta0-linear of this model: reconstruct with it first"):
        opened("interpolation", tmp_path / "i", encodings=str(tmp_path / "r"), model=tiny_model)


def test_other_encodings_make_another_study(tmp_path):
    encodings(tmp_path / "r")
    encodings(tmp_path / "other", dtype="bfloat16")
    claim(opened("interpolation", tmp_path / "i", encodings=str(tmp_path / "r")))
    for changes in ({"encodings": str(tmp_path / "other")}, {}):
        with pytest.raises(UserError, match=r"this run \w{16} \(encodings "):
            opened("interpolation", tmp_path / "i", **changes)


def test_a_file_of_other_images_or_of_another_study_is_no_encoding(tmp_path):
    """By its name alone it would be right: the content says of which images and of which study it is."""
    study = encodings(tmp_path / "r")
    (shard,) = plan(study.settings[0], 8, 8)
    first, second = plan(study.settings[0], 8, 4)
    x_T = torch.arange(256.0).reshape(4, 1, 8, 8)
    write_reconstructed(study.storage, first, Reconstructed(x_T, torch.arange(4.0).double()), study_print(study))
    content = read_reconstructed(study.storage, first, study_print(study))
    assert torch.equal(content.x_T, x_T)
    assert content.mse.tolist() == [0, 1, 2, 3]
    of_first = study.storage.read(first.path("reconstructions"))
    for other, says in ((second, "images 4 to 7"), (shard, "images 0 to 7")):
        study.storage.write(other.path("reconstructions"), of_first)
        with pytest.raises(DamagedFileError, match=f"it does not hold exactly the {says}"):
            read_reconstructed(study.storage, other, study_print(study))
    with pytest.raises(DamagedFileError, match="this study has 0123456789abcdef"):
        read_reconstructed(study.storage, first, "0123456789abcdef")


def test_storage_options_open_the_encodings_too(tmp_path, locked):
    """A store that opens for who has the options alone; the output of the interpolation lies there too."""
    encodings(f"{locked}/r", OPTIONS)
    given = ["--steps", "5", "--seeds", *"0123", "--count", "3", "--batch-size", "8", "--encodings", f"{locked}/r"]
    options = ["--storage-options", json.dumps(OPTIONS)]
    status, _, err = run_here("interpolate", *given, "--out", f"{locked}/i", *options)
    assert status == 0, err
    assert len(Storage(f"{locked}/i", OPTIONS).find()) > 5
    status, _, err = run_here("interpolate", *given, "--out", tmp_path / "elsewhere")
    assert (status, "is no output of jobs/reconstruct.py: " in err, "PermissionError" in err) == (2, True, True), err
