"""References: every kind gives the numbers of its images, and what does not fit is refused in one line."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from cleanfid.fid import frechet_distance
from PIL import Image
from pytorch_fid.fid_score import calculate_frechet_distance
from references import make
from torch_fidelity.registry import DATASETS_REGISTRY, register_dataset

from pipeline import UserError
from pipeline.evaluation.extractors import DIGITS, extractor_info
from pipeline.evaluation.metrics import compute_metrics
from pipeline.evaluation.reference import (
    Reference,
    read_reference,
    reference_info,
    write_reference,
)
from pipeline.images.digits import digits_images
from pipeline.images.registry import open_images
from pipeline.storage.store import Storage
from pipeline.sweep.layout import REFERENCE


@pytest.fixture(scope="module")
def digits(extractor):
    return make("digits", extractor, 100)[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The digits as PNG files, gray."""
    folder = tmp_path_factory.mktemp("png")
    for i, image in enumerate(digits_images()):
        Image.fromarray(image[0].numpy()).save(folder / f"{i:05d}.png")
    return folder


def assert_same(made, digits):
    assert torch.equal(made.features, digits.features)
    assert made.provenance["digest"] == digits.provenance["digest"]
    assert made.provenance["num_images"] == 1797


def test_a_folder_of_png(folder, extractor, digits):
    info, made = make(folder, extractor, 100)
    assert (info.kind, info.image_shape) == ("images", (1, 8, 8))
    assert_same(made, digits)


def test_what_is_no_image_is_named(tmp_path, extractor):
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match="has one image: a covariance takes two"):
        make(tmp_path, extractor, 100)
    (tmp_path / "1.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r": 1\.png is no image: UnidentifiedImageError"):
        make(tmp_path, extractor, 100)


def test_parquet_as_datasets_writes_it(tmp_path, extractor, digits):
    import datasets

    pictures = [Image.fromarray(image[0].numpy()) for image in digits_images()]
    data = datasets.Dataset.from_dict({"image": pictures}, datasets.Features({"image": datasets.Image()}))
    data.to_parquet(tmp_path / "train.parquet")
    info, made = make(tmp_path / "train.parquet", extractor, 100)
    assert (info.kind, info.identity[:7]) == ("images", "sha256:")
    assert_same(made, digits)


def test_a_folder_of_parquet_in_the_order_of_its_files(folder, tmp_path, extractor, digits):
    files = sorted(folder.iterdir())
    for name, part in [("b", files[1000:]), ("a", files[:1000])]:
        rows = [{"bytes": file.read_bytes(), "path": None} for file in part]
        pq.write_table(pa.table({"label": [0] * len(rows), "img": rows}), tmp_path / f"{name}.parquet")
    assert_same(make(tmp_path, extractor, 100)[1], digits)


def test_a_data_set_that_torch_fidelity_knows(extractor, digits):
    asked = []

    def create(root, download):
        asked.append((root, download))
        return digits_images()

    register_dataset("digits-again", create)
    try:
        assert_same(make("digits-again", extractor, 100)[1], digits)
    finally:
        del DATASETS_REGISTRY["digits-again"]
    assert asked[0][1] is True


def test_what_is_written_is_read(tmp_path, digits):
    storage = Storage(str(tmp_path))
    write_reference(storage, REFERENCE, digits)
    again = read_reference(storage, REFERENCE)
    assert torch.equal(again.features, digits.features)
    assert again.provenance == digits.provenance
    np.testing.assert_array_equal(again.sigma, digits.sigma)

    statistics = Reference(digits.mu, digits.sigma, None, {"source": "x"})
    write_reference(storage, "s.parquet", statistics)
    again = read_reference(storage, "s.parquet")
    assert again.features is None
    assert again.provenance == {"source": "x"}
    for name in ("mu", "sigma"):
        array, expected = getattr(again, name), getattr(digits, name)
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_a_reference_computed_earlier(tmp_path, extractor, digits):
    write_reference(Storage(str(tmp_path)), "mine.parquet", digits)
    info, made = make(tmp_path / "mine.parquet", extractor, 100)
    assert info.kind == "features"
    assert_same(made, digits)
    other = extractor_info("digits-classifier", None)
    with pytest.raises(UserError, match=r"mine\.parquet is in the features of digits-classifier, weights"):
        reference_info(str(tmp_path / "mine.parquet"), type(other)(DIGITS, None, "0" * 64, 64))


@pytest.mark.parametrize("mu_dtype", [np.float32, np.float64])
@pytest.mark.parametrize("extra", [{}, {"mu_s": np.zeros(3), "sigma_s": np.zeros((3, 3)), "arr_0": np.zeros(2)}])
def test_npz_of_other_tools(tmp_path, extractor, digits, mu_dtype, extra):
    """pytorch-fid and EDM have float64 mu, torch-fidelity float32; guided-diffusion has more arrays."""
    np.savez(tmp_path / "s.npz", mu=digits.mu.astype(mu_dtype), sigma=digits.sigma, **extra)
    info, made = make(tmp_path / "s.npz", extractor, 100)
    assert (info.kind, info.image_shape, made.features) == ("statistics", None, None)
    features = torch.randn(300, 64, generator=torch.Generator().manual_seed(0)).abs()
    logits = torch.randn(300, 10)
    ours = compute_metrics(features, logits, made)
    assert ours["fid"] == compute_metrics(features, logits, digits)["fid"]
    assert [ours[name] for name in ("kid_mean", "kid_std", "precision", "recall")] == [None] * 4


def test_fid_is_pytorch_fids_and_clean_fids(digits):
    """Theirs is by scipy's sqrtm of the product in float64, ours by a symmetric root; mu is float32 here."""
    features = digits.features.roll(1, 0)[:900] * 1.1
    ours = compute_metrics(features, features, digits)["fid"]
    statistics = (features.numpy().mean(axis=0), np.cov(features.numpy(), rowvar=False), digits.mu, digits.sigma)
    # float64 by two roads to a root; they came to 4e-14 of each other
    assert ours == pytest.approx(calculate_frechet_distance(*statistics), rel=1e-9)
    assert ours == pytest.approx(frechet_distance(*statistics), rel=1e-9)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"mu": np.zeros(64)}, "is not an .npz with mu and sigma: .*sigma"),
        ({"mu": np.zeros(2048), "sigma": np.eye(2048)}, "digits-classifier has 64 features"),
        ({"mu": np.zeros(64), "sigma": np.eye(63)}, "digits-classifier has 64 features"),
        ({"mu": np.full(64, np.nan), "sigma": np.eye(64)}, "not finite"),
        ({"mu": np.array([None]), "sigma": np.eye(64)}, "is not an .npz with mu and sigma"),  # a pickle
    ],
)
def test_statistics_that_do_not_fit_are_refused(tmp_path, extractor, content, says):
    np.savez(tmp_path / "s.npz", **content)
    with pytest.raises(UserError, match=says) as error:
        reference_info(str(tmp_path / "s.npz"), extractor)
    assert "\n" not in str(error.value)


def test_what_is_not_a_reference_is_refused(tmp_path, extractor):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"PK")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "array.npy", np.zeros(64))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    np.savez(tmp_path / "cut.npz", mu=np.zeros(64), sigma=np.eye(64))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-100])
    for name in ("broken.parquet", "badfolder/a.parquet", "badpicture/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"PAR1")
    pq.write_table(pa.table({"features": [[0.0] * 64]}), tmp_path / "features.parquet")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array([], image)}), tmp_path / "norows.parquet")
    pq.write_table(pa.table({"label": [1]}), tmp_path / "labels.parquet")
    paths = pa.array([{"bytes": None, "path": "a.png"}], pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": paths}), tmp_path / "paths.parquet")
    for name, says in {
        "none": "no such file or folder",
        "empty": "has no images",
        **dict.fromkeys(("broken.npz", "empty.npz", "array.npz", "cut.npz"), "is not an .npz with mu and sigma"),
        **dict.fromkeys(("broken.parquet", "badfolder", "features.parquet"), "cannot be read"),
        "badpicture": "a.png is no image",
        "norows.parquet": "has no images",
        "labels.parquet": "no column of images",
        "paths.parquet": "names its images by path",
    }.items():
        with pytest.raises(UserError, match=says) as error:
            reference_info(str(tmp_path / name), extractor)
        assert "\n" not in str(error.value), name


def test_rgb_and_gray_keep_their_channels(tmp_path):
    Image.new("RGBA", (4, 5)).save(tmp_path / "a.png")
    Image.new("1", (4, 5)).save(tmp_path / "b.png")
    Image.new("P", (4, 5)).save(tmp_path / "c.png")
    assert [tuple(image.shape) for image in open_images(str(tmp_path)).read(0, 9)] == [(3, 5, 4), (1, 5, 4), (3, 5, 4)]
    assert {image.dtype for image in open_images(str(tmp_path)).read(0, 9)} == {torch.uint8}


def test_npz_of_ours_knows_what_it_was_made_of(tmp_path, extractor, digits):
    made = digits.provenance
    np.savez(tmp_path / "s.npz", mu=digits.mu, sigma=digits.sigma, provenance=json.dumps(made))
    assert make(tmp_path / "s.npz", extractor, 100)[1].provenance.items() >= made.items()
    other = json.dumps(made | {"extractor": "other", "extractor_weights": "0" * 64})
    np.savez(tmp_path / "o.npz", mu=digits.mu, sigma=digits.sigma, provenance=other)
    with pytest.raises(UserError, match="is in the features of other, weights 00000000"):
        reference_info(str(tmp_path / "o.npz"), extractor)


@pytest.mark.parametrize("url", ["foo://x", "gs://none/x"])
def test_a_url_of_an_unknown_kind_is_one_line(url, extractor):
    with pytest.raises(UserError, match=f"--reference {url}") as error:
        reference_info(url, extractor)
    assert "\n" not in str(error.value)
