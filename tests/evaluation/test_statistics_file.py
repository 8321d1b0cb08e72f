"""Statistics of other tools: what is no mean and covariance is refused in one line, and what is one is measured."""

import json

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance

from pipeline import UserError
from pipeline.evaluation.extractors import DIGITS, extractor_info
from pipeline.evaluation.metrics.fid import fid_value
from pipeline.evaluation.reference import reference_info
from pipeline.evaluation.reference_images import make_references

EXTRACTOR = extractor_info(DIGITS, None)
WIDTH = EXTRACTOR.width
FEATURES = np.random.default_rng(0).normal(size=(500, WIDTH)) * np.linspace(0.1, 3, WIDTH)
MU, SIGMA = FEATURES.mean(axis=0), np.cov(FEATURES, rowvar=False)
OURS = {"source": "photos/", "num_images": 500, "digest": "0" * 64, "extractor": DIGITS}


def read(folder, name="s.npz", **content):
    np.savez(folder / "s.npz", **content)
    (folder / "s.npz").rename(folder / name)
    info = reference_info(str(folder / name), EXTRACTOR)
    return make_references(info, [(None, EXTRACTOR)], "cpu", 100)[0]


def refusal(folder, **content):
    with pytest.raises(UserError) as error:
        read(folder, **content)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"--reference {folder / 's.npz'}")
    return str(error.value)


def transposed_block():
    sigma = SIGMA.copy()
    sigma[:8, 32:40] = SIGMA[:8, 32:40].T
    return sigma


def with_eigenvalue(share):
    """A covariance whose least eigenvalue is this share of the trace."""
    values, vectors = np.linalg.eigh(SIGMA)
    values[0] = share * values[1:].sum()  # (1 - share) of it is one to 1e-6
    return vectors * values @ vectors.T


def apart(share):
    """A covariance with two entries that are apart by this share of the largest."""
    sigma = SIGMA.copy()
    sigma[5, 3] += share * sigma.max()
    return sigma


LEAST, TRACE = np.linalg.eigvalsh(-SIGMA)[0], np.trace(SIGMA)


@pytest.mark.parametrize(
    ("sigma", "says"),
    [
        (-SIGMA, f"no covariance, its least eigenvalue is {LEAST:.3g} for a trace of {-TRACE:.3g}"),
        (with_eigenvalue(-2e-6), f"no covariance, its least eigenvalue is {-2e-6 * TRACE:.3g}"),
        (np.triu(SIGMA), "no covariance, it is not symmetric: ["),
        (transposed_block(), "no covariance, it is not symmetric: ["),
        (apart(4e-5), "4e-05 of its largest entry apart (2e-05 at most)"),
        (SIGMA + 0j, "sigma is of complex128, and real numbers are needed"),
        (np.full((WIDTH, WIDTH), "1"), "sigma is of <U1, and real numbers are needed"),
        (SIGMA.astype(object), "is not an .npz with mu and sigma: ValueError: Object arrays cannot be loaded"),
        (np.where(np.eye(WIDTH), np.nan, SIGMA), "not finite"),
        (np.where(np.eye(WIDTH), np.inf, SIGMA), "not finite"),
    ],
)
def test_what_is_no_covariance_is_refused_with_the_reason(tmp_path, sigma, says):
    assert says in refusal(tmp_path, mu=MU, sigma=sigma)


@pytest.mark.parametrize("mu", [MU + 0j, np.full(WIDTH, np.nan), np.full(WIDTH, 1e39), MU[None], MU.astype(object)])
def test_what_is_no_mean_is_refused(tmp_path, mu):
    assert "mu" in refusal(tmp_path, mu=mu, sigma=SIGMA)


@pytest.mark.parametrize(
    "sigma",
    [SIGMA, apart(1e-5), with_eigenvalue(-5e-7), np.zeros_like(SIGMA), SIGMA.astype(">f8"), np.eye(WIDTH, dtype=int)],
)
def test_a_covariance_up_to_rounding_is_read_as_it_is(tmp_path, sigma):
    made = read(tmp_path, mu=MU, sigma=sigma)
    assert made.sigma.dtype == np.float64
    np.testing.assert_array_equal(made.sigma, sigma)


def test_fid_to_a_float32_covariance_of_few_images_is_pytorch_fids(tmp_path):
    """Of 20 images in 64 features, 45 eigenvalues are 0 but for rounding, which makes some of them negative."""
    few = FEATURES[:20] + 0.5
    mu, sigma = few.mean(axis=0).astype(np.float32), np.cov(few, rowvar=False).astype(np.float32)
    assert np.linalg.eigvalsh(sigma.astype(float))[0] < 0
    made = read(tmp_path, mu=mu, sigma=sigma)
    drawn = torch.from_numpy(FEATURES[100:].astype(np.float32))
    theirs = drawn.double().numpy()
    expected = calculate_frechet_distance(theirs.mean(axis=0), np.cov(theirs, rowvar=False), mu, sigma)
    # FID has the roots of 45 zeros that float32 rounds to 6e-8 of a variance; scipy and we sum another part of them
    assert fid_value(drawn, made) == pytest.approx(expected, rel=45 * 6e-8**0.5 / 64)


@pytest.mark.parametrize(
    "provenance",
    [
        "made by hand",
        "[1, 2]",
        '{"who": "somebody"}',
        json.dumps(OURS | {"extractor_weights": "0" * 64, "who": "somebody"}),
        np.array({"source": "x"}),
        np.arange(5000),
    ],
)
def test_somebody_elses_provenance_is_passed_over_with_one_line(tmp_path, capsys, provenance):
    made = read(tmp_path, mu=MU, sigma=SIGMA, provenance=provenance)
    assert capsys.readouterr().err.splitlines() == [
        f"--reference {tmp_path / 's.npz'}: its provenance is not jobs/reference.py's, and is passed over"
    ]
    assert made.provenance.keys() == {"source", "file", "digest"}


def test_provenance_of_ours_is_kept_and_compared(tmp_path, capsys):
    """That of statistics which were somebody else's before names no extractor."""
    for ours in (OURS | {"extractor_weights": EXTRACTOR.digest}, {"source": "s.npz", "file": "s.npz", "digest": "1"}):
        made = read(tmp_path, mu=MU, sigma=SIGMA, provenance=json.dumps(ours))
        assert made.provenance.items() >= ours.items()
    assert capsys.readouterr().err == ""
    other = json.dumps(OURS | {"extractor_weights": "1" * 64})
    assert "is in the features of digits-classifier, weights 11111111" in refusal(
        tmp_path, mu=MU, sigma=SIGMA, provenance=other
    )


def test_a_name_in_upper_case_is_read(tmp_path):
    np.testing.assert_array_equal(read(tmp_path, "FID_STATS.NPZ", mu=MU, sigma=SIGMA).sigma, SIGMA)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"arr_0": np.zeros((2, 8, 8, 3), np.uint8)}, "it has arr_0 alone, as a batch of images does; give images as"),
        ({"arr_0": MU, "arr_1": SIGMA}, "it has arr_0, arr_1, and no mu and sigma"),
        ({"sigma": SIGMA}, "it has sigma, and no mu"),
        ({}, "it has nothing, and no mu and sigma"),
    ],
)
def test_the_keys_of_a_file_without_mu_and_sigma_are_named(tmp_path, content, says):
    assert f"is not an .npz with mu and sigma: {says}" in refusal(tmp_path, **content)
