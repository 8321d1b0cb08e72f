"""Progress in a log: few lines, right numbers."""

import io
import re
import sys

import pytest

from pipeline.cluster import progress


def test_lines_say_images_and_time_left(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.Progress("drawing", 1000, 10_000) as bar:
        for _ in range(12):
            clock[0] += 1
            bar.add(50, 250)
            bar.tick()
    lines = capsys.readouterr().err.splitlines()
    # after 5 s: 250 of 1000 images, 1250 of 10000 in cost, so 35 s to go
    assert lines[0] == "drawing  12%  250 of 1,000 images, 50 images/s, 35 s left"
    assert len(lines) == 3  # at 5 s, at 10 s, and the end


def test_a_terminal_has_one_bar_and_no_lines(monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    with progress.Progress("drawing", 100, 1000) as bar:
        bar.add(50, 500)
        bar.tick()
        bar.bar.refresh()
    last = terminal.getvalue().split("\r")[-1]
    assert re.match(r" 50%\|.*\| drawing 50 of 100 images, [\d,]+ images/s, 0 s left\n$", last)


def test_a_failure_ends_it_without_a_last_line(capsys):
    with pytest.raises(ValueError, match="broken"), progress.Progress("drawing", 10, 10):
        raise ValueError("broken")
    assert capsys.readouterr().err == ""
