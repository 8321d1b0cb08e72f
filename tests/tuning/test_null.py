"""Copies of one setting through the whole proof: how rarely one is said to be better than another."""

import pytest
import torch
from finalists import setting
from references import make
from scipy import stats
from simulated_nights import fids

from pipeline.diffusion.model import Walk, Walker
from pipeline.diffusion.samplers.unipc import UniPC
from pipeline.evaluation.extractors import make_extractor
from pipeline.evaluation.features import extract
from pipeline.evaluation.metrics import measure
from pipeline.evaluation.reference import Reference
from pipeline.images.pixels import to_uint8
from pipeline.sweep.model import read_model
from pipeline.tuning.proof import prove

ALPHA = 0.05


def claims(copies, finalists, defaults, num_images):
    """In how many proofs something wins, of as many as there are copies for: each is used once."""
    size, wins, trials = finalists + defaults, 0, len(copies) // (finalists + defaults)
    for i in range(trials):
        ones = {setting(k): one for k, one in enumerate(copies[i * size : (i + 1) * size])}
        mine, theirs = dict([*ones.items()][:finalists]), dict([*ones.items()][finalists:])
        wins += prove(mine, theirs, num_images, ALPHA).best is not None
    return wins, trials


def at_most(trials, share):
    """A count that 99.6 % of experiments do not exceed, if each trial counts with this probability."""
    return stats.binom(trials, share).ppf(0.9955)


def test_of_a_hundred_proofs_eleven_may_claim_at_five_percent():
    assert at_most(100, ALPHA) == 11
    assert round(stats.binom(100, ALPHA).cdf(11), 3) == 0.996


@pytest.mark.parametrize(("finalists", "defaults"), [(1, 1), (3, 1), (3, 2)])
def test_copies_of_a_normal_are_rarely_claimed(finalists, defaults):
    """500 proofs of 100 images with two features. To be better, and not only another, is half of a two-sided level."""
    reference = Reference.of(torch.randn(900, 2, generator=torch.Generator().manual_seed(2)))
    trials = 500
    columns = [side for seed in (10, 11, 12) for side in fids(trials, 100, reference, seed)[:2]]
    copies = [{"fid": column[i]} for i in range(trials) for column in columns[: finalists + defaults]]
    count, proofs = claims(copies, finalists, defaults, 100)
    assert proofs == trials
    assert count <= at_most(trials, ALPHA / 2)
    if finalists == defaults == 1:
        assert count >= stats.binom(trials, ALPHA / 2).ppf(0.0045)  # it is no more cautious than that


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_copies_of_digits_are_rarely_claimed(extractor, capsys):
    """200 runs of UniPC at 5 calls, 500 images each, which differ in the run's seed alone."""
    torch.set_num_threads(1)
    network, num_images = make_extractor(extractor, "cpu"), 500
    _, reference = make("digits", extractor, 250)
    model = read_model("digits").load("cpu")
    sampler = UniPC()
    walk = Walk(sampler, sampler.grid(model.schedule, "time-quadratic", 5), False)
    copies = []
    for seed in range(200):
        images = to_uint8(Walker(model, "cpu", seed, 250).draw(walk, torch.arange(num_images)))
        copies.append(measure(*extract(network, images, "cpu", 250), reference))
    counts = {of: claims(copies, *of, num_images) for of in [(1, 1), (3, 2)]}
    with capsys.disabled():
        for (finalists, defaults), (count, trials) in counts.items():
            print(f"\n{finalists} finalists, {defaults} defaults: {count} claims in {trials}", end="")
    for count, trials in counts.values():
        assert count <= at_most(trials, ALPHA)
