"""Sequences of tasks that are made when they are accessed."""

import pytest

from pipeline.cluster.task import Joined


def test_joined_sequences_are_one():
    """Also where parts are empty, or joined themselves."""
    joined = Joined([[], "ab", [], Joined([range(3), [], "c"]), []])
    whole = ["a", "b", 0, 1, 2, "c"]
    assert len(joined) == 6
    assert [*joined] == whole
    assert [joined[i] for i in range(6)] == whole
    assert joined[1:5:2] == whole[1:5:2]
    assert len(Joined([])) == 0
    for index in (6, -1):
        with pytest.raises(IndexError):
            joined[index]
