"""The one line that a library's error becomes."""

import pytest

from pipeline import UserError


@pytest.mark.parametrize(
    ("cause", "says"),
    [
        (OSError("reset"), "x: OSError: reset"),
        (ValueError(""), "x: ValueError:"),
        (RuntimeError("\n  two\n\n\tlines \n"), "x: RuntimeError: two lines"),
        (RuntimeError("words " * 1000), "words words …"),
        (RuntimeError("w" * 1000), "x: RuntimeError: …"),
    ],
)
def test_a_cause_is_one_line_of_bounded_length(cause, says):
    text = str(UserError.because("x", cause))
    assert text.endswith(says)
    assert len(text.splitlines()) == 1
    assert len(text) <= 303
