"""Text in columns: words begin at the left, numbers end at the right, and a combining character takes no place."""

from pipeline.text_table import text_table


def test_columns_are_as_wide_as_their_widest_cell_and_a_rule_as_the_table():
    lines = [["sampler", "S", "FID"], ["a", "5", "123.4"], ["DDIM", "1000", "2"]]
    assert text_table(lines, head=1).splitlines() == [
        "sampler     S    FID",
        "─" * 20,
        "a           5  123.4",
        "DDIM     1000      2",
    ]
    assert text_table(lines, left=(0, 2), gap=" ").splitlines() == [
        "sampler    S FID",
        "a          5 123.4",
        "DDIM    1000 2",
    ]


def test_a_hat_takes_no_place():
    assert text_table([["DDIM σ̂", "1"], ["DDIM η", "2"]], head=1).splitlines() == ["DDIM σ̂  1", "─" * 9, "DDIM η  2"]


def test_a_column_has_a_least_width_and_a_line_may_end_early():
    lines = [["a", "1", "2"], ["longer than three", "1"]]
    assert text_table(lines, least=(3, 3), gap="|").splitlines() == [
        "a                |  1|2",
        "longer than three|  1",
    ]
    assert text_table([["a", "1"]], least=(3, 3), gap="|") == "a  |  1"
