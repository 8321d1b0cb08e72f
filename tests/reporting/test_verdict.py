"""The verdict of a sweep: who is within noise of the best, what is the cheapest, and what is said of it."""

import math

import pytest
import torch
from bootstrap import fid_statistic, paired_bootstrap
from measured_rows import by_setting
from scipy import stats

from pipeline.evaluation.metrics.fid import fid
from pipeline.evaluation.reference import Reference
from pipeline.reporting import verdict as module
from pipeline.sweep.method import labels

K = 20


def noise(seed):
    return torch.randn(K, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def row(value, nfe, left_out, sampler="ddim", spacing="linear", speed=None, **options):
    """A row of metrics.json."""
    return {
        **{"sampler": sampler, "steps": nfe + 3, "nfe": nfe, "spacing": spacing, "clip": False, "device": "cpu"},
        **({"eta": 0.0} if sampler == "ddim" else {}),
        **{"fid": value, "fid_se": 0.05 + value / 29, "images_per_second": speed or 1000 / nfe},
        **{"jackknife": {"fid": left_out if left_out is None else left_out.tolist()}},
        **options,
    }


def made(value, nfe, own=0.0, seed=0, **rest):
    """A row whose groups vary as every other's do, and `own` besides: the standard error of its differences."""
    common = 0.02 * noise(99)
    spread = noise(seed)
    spread = (spread - spread.mean()) / spread.std()
    # delete-a-group: the standard deviation of the left-out values is (K - 1) / √K of the standard error
    return row(value, nfe, value + common - common.mean() + own * math.sqrt(K) / (K - 1) * spread, **rest)


def verdict(rows):
    return module.verdict(by_setting(rows))


def names_of(found):
    return labels(one.setting.method for one in found.standings)


def to_lines(found):
    return module.to_lines(found, names_of(found))


def standings(rows):
    found = verdict(rows)
    return found, {(names_of(found)[one.setting.method], one.nfe): one for one in found.standings}


ROWS = [
    made(5.0, 5, 0.02, 1),
    made(0.33, 10, 0.02, 2, sampler="dpmpp_2m", speed=90.0),
    made(0.31, 20, 0.02, 3, sampler="dpmpp_2m", speed=50.0),
    made(0.30, 50, 0.02, 4),
    made(0.29, 50, 0.0, 5, sampler="unipc", speed=30.0),
    made(0.40, 100, 0.02, 6),
]


def test_the_cheapest_within_noise_of_the_best():
    found, by = standings(ROWS)
    best = by[("UniPC-2", 50)]
    assert (found.reason, found.best) == ("", best)
    assert [one.within_noise for one in found.standings] == [False, True, True, True, True, False]
    assert (found.cheapest, found.fastest, found.longest.nfe) == (by[("DPM-Solver++ 2M", 10)], found.cheapest, 100)
    assert (found.fewer_calls, found.fewer_than_longest) == (5.0, 10.0)
    assert [one.nfe for one in found.within] == [10, 20, 50, 50]
    assert (best.worse, best.low, best.high, best.at_most) == (0.0, 0.0, 0.0, 0.0)


def test_intervals_are_students_at_holms_level():
    """Worked out by another formula: five p-values, two rejected, so the rest have a third of 5 %."""
    _, by = standings(ROWS)
    p = sorted(2 * stats.t(19).sf(gap / 0.02) for gap in (4.71, 0.11, 0.04, 0.02, 0.01))
    assert [p[0] < 0.05 / 5, p[1] < 0.05 / 4, p[2] < 0.05 / 3] == [True, True, False]
    for (label, nfe), gap, level in (
        (("DPM-Solver++ 2M", 10), 0.04, 0.05 / 3),
        (("DDIM η = 0.0", 50), 0.01, 0.05 / 3),
        (("DDIM η = 0.0", 100), 0.11, 0.05 / 4),
        (("DDIM η = 0.0", 5), 4.71, 0.05 / 5),
    ):
        half = stats.t(19).ppf(1 - level / 2) * 0.02
        one = by[(label, nfe)]
        assert (one.worse, one.low, one.high) == pytest.approx((gap, gap - half, gap + half))
    assert by[("DPM-Solver++ 2M", 10)].at_most == pytest.approx(0.04 + stats.t(19).ppf(1 - 0.05 / 6) * 0.02)


def test_what_all_settings_have_in_common_is_no_noise():
    """FIDs whose own errors hide a difference tell it apart by pairs."""
    found = verdict([made(0.30, 10, 0.001, 1), made(0.29, 20)])
    assert [one.within_noise for one in found.standings] == [False, True]
    common = 0.02 * 19 / math.sqrt(K)
    assert common > 5 * 0.01  # the error of each FID by itself


def test_the_bias_of_few_images_is_taken_off():
    biased = made(0.40, 10, 0.02, 1)
    biased["jackknife"]["fid"] = [value + 0.1 / 19 for value in biased["jackknife"]["fid"]]
    found = verdict([biased, made(0.30, 20)])
    assert found.standings[0].worse == pytest.approx(0.0, abs=1e-12)
    assert found.cheapest.nfe == 10


def test_intervals_are_the_paired_bootstraps():
    """Features of two settings, the second with a little noise on top: within 3 errors of the jackknife, 16 % each."""
    generator = torch.Generator().manual_seed(0)
    reference, x, more = (torch.randn(800, 8, generator=generator) for _ in range(3))
    noisy = x * 1.1 + 0.1 * more
    sides = [fid(side, Reference.of(reference)) for side in (noisy, x)]
    (worse, best) = verdict(
        [row(side.value, nfe, side.left_out) for side, nfe in zip(sides, (5, 10), strict=True)]
    ).standings
    estimate = paired_bootstrap(fid_statistic(noisy, reference), fid_statistic(x, reference), 800, 400)
    assert best.worse == 0
    se = (worse.high - worse.low) / 2 / stats.t(19).ppf(0.975)
    assert se == pytest.approx(estimate.std, rel=0.5)
    assert worse.worse == pytest.approx(estimate.delta - estimate.bias, abs=estimate.std)
    assert not worse.within_noise


def test_the_frontier_and_the_first_calls_within_noise():
    found, by = standings(ROWS)
    assert [next(key for key, other in by.items() if other == one) for one in found.frontier] == [
        *(("DDIM η = 0.0", 5), ("DPM-Solver++ 2M", 10), ("DPM-Solver++ 2M", 20), ("UniPC-2", 50)),
    ]
    calls = {names_of(found)[method]: one and one.nfe for method, one in found.first_within.items()}
    assert calls == {"DDIM η = 0.0": 50, "DPM-Solver++ 2M": 10, "UniPC-2": 50}
    never = verdict([made(5.0, 5, 0.02, 1), made(0.29, 50, sampler="unipc")])
    assert [one and one.nfe for one in never.first_within.values()] == [None, 50]
    assert "UniPC-2 50; never: DDIM η = 0.0." in to_lines(never)[-2]


def test_where_there_are_several_spacings_labels_have_them():
    rows = [made(0.3, 10, spacing="linear"), made(0.4, 10, 0.01, 1, spacing="quadratic"), made(0.5, 9, sampler="heun")]
    first, second, _ = to_lines(verdict(rows))[-3:]
    assert "DDIM η = 0.0, linear at 10 calls (0.3)" in first
    assert second.startswith("Fewest calls within noise of the best: DDIM η = 0.0, linear 10; never: ")
    assert second.endswith(": DDIM η = 0.0, quadratic; Heun, linear.")


def test_a_standing_has_the_numbers_of_its_row():
    for one, row_of_it in zip(verdict(ROWS).standings, ROWS, strict=True):
        assert (one.setting.steps, one.nfe, one.fid) == (row_of_it["steps"], row_of_it["nfe"], row_of_it["fid"])
        assert (one.fid_se, one.seconds) == (row_of_it["fid_se"], 1 / row_of_it["images_per_second"])


def test_the_fastest_within_noise_may_take_more_calls_than_the_cheapest():
    """Of the four within noise the one at 20 calls draws 200 images a second, and the cheapest 90."""
    rows = [one | {"images_per_second": 200.0} if one["nfe"] == 20 else one for one in ROWS]
    found, by = standings(rows)
    assert (found.cheapest.nfe, found.fastest) == (10, by[("DPM-Solver++ 2M", 20)])
    bound = 0.02 + stats.t(19).ppf(1 - 0.05 / 6) * 0.02
    assert to_lines(found)[1] == (
        "The fastest within noise of the best as measured is DPM-Solver++ 2M at 20 calls: 200 images/s, 6.7 times the "
        f"best's, at most {bound:.2g} worse (95 %)."
    )


def test_the_error_in_the_sentence_is_the_bests():
    rows = [one | {"fid_se": 0.07 if one["sampler"] == "unipc" else 0.9} for one in ROWS]
    assert "the best (UniPC-2 at 50 calls: 0.29 ± 0.07)" in to_lines(verdict(rows))[0]


def test_the_sentences():
    high = 0.04 + stats.t(19).ppf(1 - 0.05 / 6) * 0.02
    assert to_lines(verdict(ROWS)) == [
        "DPM-Solver++ 2M at 10 calls (0.33) is within noise of the best (UniPC-2 at 50 calls: 0.29 ± 0.06): 5.0× fewer "
        f"calls, 10.0× fewer than DDIM η = 0.0 at 100 calls, at most {high:.2g} worse (95 %).",
        "The fastest within noise of the best as measured is DPM-Solver++ 2M at 10 calls: 90 images/s, 3.0 times the "
        "best's.",
        "No setting beats these in both calls and FID: DDIM η = 0.0 at 5 calls (5), DPM-Solver++ 2M at 10 calls "
        "(0.33), DPM-Solver++ 2M at 20 calls (0.31), UniPC-2 at 50 calls (0.29).",
        "Fewest calls within noise of the best: DPM-Solver++ 2M 10, DDIM η = 0.0 50, UniPC-2 50.",
        "Differences are over pairs of the same seed; 95 % is for all 6 settings together.",
    ]


def test_the_best_may_be_the_cheapest():
    rows = [made(0.5, 5, 0.01, 1), made(0.3, 10), made(0.31, 20, 0.01, 2)]
    assert to_lines(verdict(rows))[0] == (
        "The best FID (DDIM η = 0.0 at 10 calls: 0.3 ± 0.06) is beyond noise better than all of fewer calls."
    )
    assert to_lines(verdict(rows[1:]))[0].endswith(" is of the fewest calls too.")


def test_a_wide_bound_says_that_images_are_few():
    lines = to_lines(verdict([made(0.40, 5, 0.2, 1), made(0.29, 50)]))
    assert lines[1] == "That bound is wider than the best FID itself: more images would tell them apart."


def test_settings_of_the_same_images_are_within_noise():
    found = verdict([made(0.3, 10), made(0.3, 10, sampler="unipc"), made(0.3, 20)])
    assert all(one.within_noise and one.at_most == 0 for one in found.standings)
    assert found.cheapest == found.best


def test_seconds_of_several_devices_are_not_compared():
    found = verdict([*ROWS[:-1], ROWS[-1] | {"device": "another"}])
    assert found.fastest is None
    assert not [line for line in to_lines(found) if "fastest" in line]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (ROWS[:1], "it takes two settings"),
        ([*ROWS[1:], row(2.0, 5, None)], "1 of 6 settings have no FID without groups of their images"),
        ([{k: v for k, v in one.items() if k != "jackknife"} for one in ROWS], "6 of 6 settings have no FID without"),
    ],
)
def test_without_groups_one_line_says_why(rows, reason):
    (line,) = to_lines(verdict(rows))
    assert line.startswith(f"No verdict on the best setting: {reason}")
