"""What the gate detects, by defects put into the real worker; and how often it cries without one.

Measured with 500 images at S = 10 (η = 0, η = 1, σ̂), FID against the same code without the defect, same seeds.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch
from schedules import SCHEDULE

from pipeline.diffusion import noise
from pipeline.diffusion.samplers.ddim import DDIM
from pipeline.diffusion.schedule import TIME_0
from pipeline.evaluation.extractors import DIGITS, extractor_info, make_extractor
from pipeline.evaluation.features import Features, extract
from pipeline.evaluation.metrics import measure as measure_features
from pipeline.evaluation.reference import Reference
from pipeline.images.digits import digits_images
from pipeline.regression.compared import compared, equal_features
from pipeline.regression.comparison import Comparison, Speed
from pipeline.regression.gate import Limits, judge
from pipeline.sweep.config import SweepConfig
from pipeline.sweep.grid import settings
from pipeline.sweep.run import open_run
from pipeline.work import draw
from pipeline.work.draw import Draw, DrawWorker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
ETA0, ETA1, HAT = GRID = settings(SweepConfig(steps=(10,), eta=(0.0, 1.0, "hat")), SCHEDULE)
DEFAULT = Limits(0.02, 0.1)
SPEED = Speed(1.0, ["here"], 1.0)


def make_worker(out, batch_size=250):
    run = open_run(SweepConfig(out=str(out), batch_size=batch_size, num_images=500))
    return DrawWorker("cpu", Draw(run).arguments)


@pytest.fixture(scope="module")
def measure():
    """(worker, setting, n) → (pixels, features)."""
    extractor = make_extractor(extractor_info(DIGITS, None), "cpu")

    def draw_images(worker, setting, n):
        pixels = np.concatenate([worker.draw_batch(setting, torch.arange(i, i + 250)) for i in range(0, n, 250)])[:n]
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        return pixels, Features(list(range(n)), *extract(extractor, images, "cpu", 250), {})

    draw_images.reference = Reference.of(extract(extractor, digits_images(), "cpu", 250)[0])
    return draw_images


def compare(setting, ours, theirs, reference):
    """A comparison of what `measure` returned twice, as `Comparer` makes it of files."""
    (pixels, mine), (before, yours) = ours, theirs
    differing = np.flatnonzero((pixels != before).any(axis=(1, 2, 3))).tolist()
    here, there = (measure_features(side.features, side.logits, reference) for side in (mine, yours))
    rows = {"fid": here["fid"].value}, {"fid": there["fid"].value}
    metrics = compared(here, there, in_pairs=True)
    return Comparison(metrics, setting, *rows, differing, equal_features(mine, yours), (SPEED, SPEED))


@pytest.fixture(scope="module")
def flawless(measure, tmp_path_factory):
    worker = make_worker(tmp_path_factory.mktemp("flawless"))
    return {setting: measure(worker, setting, 500) for setting in GRID}


def nothing(monkeypatch, worker):
    pass


def tau_off_by_one(monkeypatch, worker):
    grid = DDIM.grid

    def later(self, schedule, spacing, budget):
        return schedule.nodes([node.t + 1 for node in reversed(grid(self, schedule, spacing, budget)[:-1])])

    monkeypatch.setattr(DDIM, "grid", later)


def alpha_of_the_last_step(monkeypatch, worker):
    step, first = DDIM.step, worker.model.schedule.node(0)

    def short(self, eps, pred_x0, node, prev, noise):
        return step(self, eps, pred_x0, node, first if prev == TIME_0 else prev, noise)

    monkeypatch.setattr(DDIM, "step", short)


def truncation(monkeypatch, worker):
    monkeypatch.setattr(draw, "to_uint8", lambda x: (((x + 1) / 2).clamp(0, 1) * 255).floor().to(torch.uint8))


def more_noise(monkeypatch, worker):
    normal = noise.normal
    monkeypatch.setattr(noise, "normal", lambda *arguments: 1.02 * normal(*arguments))


def bfloat16(monkeypatch, worker):
    network = worker.walker.network.network

    def low(*given):
        with torch.autocast("cpu", torch.bfloat16):
            return network(*given).float()

    monkeypatch.setattr(worker.walker.network, "network", low)


def raw_weights(monkeypatch, worker):
    """Weights that no average smooths: ten more steps of training, at half of the recipe's peak rate."""
    network = worker.model.network.network.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    x_0, alphas = digits_images() / 127.5 - 1, torch.tensor(worker.model.schedule.alphas_cumprod)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        batch = x_0[torch.randint(len(x_0), (128,), generator=generator)]
        t = torch.randint(1000, (128,), generator=generator)
        eps, alpha = torch.randn(batch.shape, generator=generator), alphas[t].view(-1, 1, 1, 1)
        loss = (network(alpha.sqrt() * batch + (1 - alpha).sqrt() * eps, t).sample - eps).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("defect", "share_of_pixels", "worse"),
    [
        (nothing, (0, 0), []),
        # Shares are those that were measured, the least and the largest of the three settings, and 0.05 to either side:
        # seeds are fixed, and other machines' kernels move few of 32,000 pixels. A black pixel stays black mostly.
        (alpha_of_the_last_step, (0.25, 0.37), [ETA0, ETA1, HAT]),
        (raw_weights, (0.57, 0.81), [ETA1]),
        (more_noise, (0.29, 0.55), [HAT]),
        # Seen by the digests alone: of 500 images FID does not change to the worse by more than its noise and 2 %.
        # Another tau has other noise too, which is a function of the timestep: with eta > 0 the pairs are unrelated.
        (tau_off_by_one, (0.26, 0.94), []),
        (truncation, (0.3, 0.5), []),  # half of the values that are not black
        (bfloat16, (0.17, 0.49), []),  # twice the margin: kernels of CPUs differ here
    ],
)
def test_detection(monkeypatch, tmp_path, measure, flawless, defect, share_of_pixels, worse):
    worker = make_worker(tmp_path)
    defect(monkeypatch, worker)
    drawn = {setting: measure(worker, setting, 500) for setting in GRID}
    comparisons = [compare(setting, drawn[setting], flawless[setting], measure.reference) for setting in GRID]
    verdicts = judge(comparisons, DEFAULT)
    for verdict in verdicts:
        c = verdict.comparison
        low, high = c.fid.interval
        print(f"{defect.__name__:24} {c.setting.slug:28} {c.change:+.2%} [{low:+.4f}, {high:+.4f}] {verdict.quality}")
    low, high = share_of_pixels
    for setting in GRID:
        assert low <= (drawn[setting][0] != flawless[setting][0]).mean() <= high
    if defect is not nothing:
        assert all(comparison.differing[0] == 0 for comparison in comparisons)  # the first seed shows it already
    found = {verdict.comparison.setting for verdict in verdicts if verdict.quality == "worse"}
    assert set(worse) <= found
    assert worse or not found


def quantile(n, p, beyond=1e-3):
    """The least k that a binomial variable exceeds with a chance of at most `beyond`."""
    tail, k = 1.0, -1
    while tail > beyond:
        k += 1
        tail -= math.comb(n, k) * p**k * (1 - p) ** (n - k)
    return k


def test_100_fresh_seeds_without_a_defect(monkeypatch, tmp_path, measure):
    """Both sides are drawn anew for each of 100 nights: one baseline for all would share its own luck among them.

    Their images are unrelated, which the pairing has to bear; a real night has the baseline's seeds and is tighter.
    The promise: at most 5 % of nights have a setting beyond noise, to either side, even with no tolerance at all. So at
    most that many raise an alarm, and half of it is expected. The count to either side is held to what a share of 5 %
    gives in all but one of 1,000 such experiments.
    """
    grid = settings(SweepConfig(steps=(5,), eta=(0.0, "hat")), SCHEDULE)
    n = 200
    worker = make_worker(tmp_path, n)
    beyond = alarms = tolerated = 0
    for night in range(100):
        comparisons = []
        for setting in grid:
            sides = []
            for side in (0, 1):
                worker.arguments = dataclasses.replace(worker.arguments, seed=1000 + 2 * night + side)
                sides.append(measure(worker, setting, n))
            comparisons.append(compare(setting, *sides, measure.reference))
        strict = [verdict.quality for verdict in judge(comparisons, Limits(0.0, 0.3))]
        beyond += bool({"worse", "better"} & set(strict))
        alarms += "worse" in strict
        tolerated += any(verdict.failed for verdict in judge(comparisons, DEFAULT))
    print(f"beyond noise {beyond}, alarms {alarms}, with the tolerance {tolerated}")
    assert beyond <= quantile(100, 0.05)
    assert tolerated <= alarms <= 5
