"""What a tuning says of a budget: the sentences, number by number, of made-up answers; and of several the table."""

import math

import pytest
from tuned_answers import DEFAULTS, LADDER, SEARCHED, TIMES, answer, none_wins, setting, winner, worse

from pipeline.evaluation.difference import Difference
from pipeline.evaluation.metrics import METRICS
from pipeline.tuning.sentences import (
    block,
    difference_text,
    named,
    names_of,
    notes,
    p_text,
    percent_text,
    sampler_text,
    table,
    two_digits,
)


def lines_of(one):
    return block(one, names_of([one]), "report/tuned-S5.json").splitlines()


def test_a_winner_is_the_first_line_with_the_default_that_it_beats():
    """By hand: FID's error is hypot(0.008, 0.009), that of Δ 0.015, and 2.2414 of these are 97.5 % of two finalists."""
    first, cost, usage, gap = lines_of(winner())
    assert first == (
        "UniPC-2 on times 0, 39, 95, 313, 452, 774: FID 0.131 ± 0.012 at 5 calls on 10,000 fresh seeds; "
        "the best default (UniPC-2, time-quadratic) 0.245; Δ −0.114 (−0.148 to −0.080), p < 0.001"
    )
    assert usage == "to use it: --sampler unipc --spacing 0,39,95,313,452,774, or --config report/tuned-S5.json"
    # 0.114 / 0.143 is 0.797, with an error of √(0.009² + (0.203·0.012)² + (0.797·0.006)²) / 0.143
    assert gap == (
        "it closes 80 % ± 7 % of the gap from the best default to the teacher "
        "(UniPC-2, time-quadratic, 50 calls: 0.102)"
    )
    assert cost.startswith("the search took 1,234,000 network calls × images and the proof 765,000, ")


@pytest.mark.parametrize(
    ("ladder", "said"),
    [
        # 1,999,000 / (8 - 5), rounded up
        (LADDER, "repaid after 666,334 images beside the best default of the same quality (8 calls)"),
        # 1,999,000 / (7 - 5), since 6 calls do not do
        ([(6, 0.19)], "repaid after 999,500 images at most: up to 6 calls no best default is as good"),
        ([(5, 0.13)], "not repaid: it saves no calls beside the best default of the same quality (5 calls)"),
    ],
)
def test_when_the_cost_is_repaid(ladder, said):
    assert lines_of(winner(ladder=ladder))[1].partition("the proof 765,000, ")[2] == said


def test_without_a_ladder_nothing_is_said_of_when_it_is_repaid():
    cost = lines_of(winner(ladder=[]))[1]
    assert cost.endswith("765,000; when they are repaid is not known: no default of more calls was drawn")


def test_the_default_that_is_hardest_to_tell_from_is_named_if_it_is_not_the_best():
    """Another is worse by 0.02, and its own error is so large that p is larger beside it."""
    one = winner(defaults=[("dpmpp_2m", "time-quadratic", 0.265, 0.055), DEFAULTS[1]])
    assert lines_of(one)[0].endswith("p = 0.016 beside DPM-Solver++ 2M, time-quadratic, the hardest to tell it from")


def test_nothing_wins_is_the_answer_with_the_number_of_images_that_would_settle_it():
    """By hand: 10,000 · ((2.2414 + 0.8416) · 0.015 / 0.011)² is 176,700."""
    first, closest, cost, usage = lines_of(none_wins())
    assert first == (
        "Nothing that was searched beats the best default at 8 calls beyond noise: UniPC-2, time-quadratic, "
        "FID 0.119 ± 0.014 on 10,000 fresh seeds"
    )
    assert closest == (
        "the closest is UniPC-2 on times 0, 10, 39, 95, 200, 313, 452, 600, 900: FID 0.108 ± 0.012, "
        "Δ −0.011 (−0.045 to +0.023), p = 0.46; about 180,000 images a setting would settle it"
    )
    assert cost.endswith("and the proof 765,000, not repaid: nothing was won")
    assert usage == "to use it: --sampler unipc --spacing time-quadratic --steps 8"


def test_what_is_worse_is_settled_by_no_number_of_images():
    first, closest, *_ = lines_of(worse())
    assert first.startswith("Nothing that was searched beats the best default at 3 calls beyond noise: ")
    assert "FID 1.80 ± 0.08, Δ +1.20 (+1.00 to +1.40), p = 1; no number of images is known" in closest
    assert "not below that of unipc-S3-time-quadratic" in closest


def test_a_gap_that_is_noise_is_none():
    """The teacher is better by 0.01, with an error of 0.013."""
    assert lines_of(winner(teacher=0.235))[3] == (
        "the best default is within noise of the teacher (UniPC-2, time-quadratic, 50 calls: 0.235), "
        "so there is no gap to close"
    )


def test_a_named_grid_that_wins_is_used_by_its_name_and_options_are_given():
    one = answer(5, [("unipc:order=3,lower_order_final=never", "karras", 0.1, 0.009)], DEFAULTS)
    first, _, usage, _ = lines_of(one)
    assert first.startswith("UniPC-3 lower_order_final = never, karras: FID 0.100")
    assert usage.startswith("to use it: --sampler unipc:order=3,lower_order_final=never --spacing karras --steps 5, or")
    assert sampler_text(setting("ddim:eta=0.5", "linear")) == "ddim:eta=0.5"


def test_several_budgets_are_a_line_each():
    answers = [worse(), winner(), none_wins()]
    head, rule, *lines = table(answers).splitlines()
    assert head.split("  ")[0] == "calls"
    assert set(rule) == {"─"}
    cells = [[cell.strip() for cell in line.split("  ") if cell] for line in lines]
    assert [line[:6] for line in cells] == [
        ["3", "0.600 ± 0.061", "1.80 ± 0.08", "+1.20 (+1.00 to +1.40)", "1", "worse"],
        ["5", "0.245 ± 0.014", "0.131 ± 0.012", "−0.114 (−0.148 to −0.080)", "< 0.001", "better"],
        ["8", "0.119 ± 0.014", "0.108 ± 0.012", "−0.011 (−0.045 to +0.023)", "0.46", "within noise"],
    ]
    # of IS and KID by hand: each setting's is in the order in which it was given; their errors are √2 of one's
    assert cells[1][6:] == ["+0.74 (+0.64 to +0.84)", "+0.0041 (+0.0019 to +0.0063)", "80 % ± 7 %"]
    assert [line[-1] for line in cells] == ["−241 % ± 44 %", "80 % ± 7 %", "–"]


def test_the_notes_count_what_was_corrected_for():
    *_, last = notes([worse(), winner()]).splitlines()
    assert last == (
        "p is the largest beside the defaults (1 to 2), for FID. Intervals and verdicts hold for all finalists of a "
        "budget together (1 to 2, by Holm), at 95 %."
    )
    assert notes([winner()]).splitlines()[0].endswith("± one standard error; IS, KID: as measured.")


def test_numbers_for_readers():
    fid, kid = METRICS["fid"], METRICS["kid"]
    assert difference_text(fid, Difference(-0.1, None, 3.0), 0.05) == "−0.100"
    # 1.96 and, of two degrees of freedom, 4.303 errors
    assert difference_text(fid, Difference(1.0, 0.1, math.inf), 0.05) == "+1.00 (+0.80 to +1.20)"
    assert difference_text(kid, Difference(-0.002, 0.001, 2.0), 0.05) == "−0.0020 (−0.0063 to +0.0023)"
    assert [p_text(p) for p in (0.00099, 0.001, 0.0421, 1.0)] == ["p < 0.001", "p = 0.001", "p = 0.042", "p = 1"]
    assert [percent_text(Difference(0.8, se, 9.0)) for se in (0.1, None)] == ["80 % ± 10 %", "80 %"]
    assert [two_digits(number) for number in (176_747, 99, 7)] == [180_000, 99, 7]


def test_listed_times_are_told_from_spacings():
    names = names_of([winner()])
    assert named(setting("unipc", TIMES), names) == "UniPC-2 on times 0, 39, 95, 313, 452, 774"
    assert named(setting("unipc:order=3", SEARCHED[0][1]), names) == "UniPC-3 on times 0, 17, 71.5, 307, 540, 812"
    assert named(setting("unipc", "time-quadratic"), names) == "UniPC-2, time-quadratic"
