"""Claiming an output: its first file is written, what killed writers left is removed, and a lost disk is one line."""

import socket

import pytest

from pipeline import UserError
from pipeline.storage.store import Storage, StorageError
from pipeline.sweep.run import open_run, saved_run
from pipeline.work.claim import claim, publish_as_planned


def test_a_claim_writes_the_first_file_and_clears_what_a_killed_writer_left(small, tmp_path):
    run, dead = open_run(small), 2**22 + 1  # above the largest pid that Linux gives
    left = tmp_path / "out" / "images" / f".file.{socket.gethostname()}.{dead}.{'0' * 32}.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    claim(run)
    assert saved_run(small.out).identity == run.identity
    assert not left.exists()


@pytest.mark.parametrize("error", [StorageError("cannot write: no space"), PermissionError("not yours")])
def test_an_output_that_cannot_be_written_is_one_line(small, monkeypatch, error):
    def refuse(*_):
        raise error

    run = open_run(small)
    monkeypatch.setattr(Storage, "write_json", refuse)
    with pytest.raises(UserError, match=f"^--out {small.out} cannot be written: {error}$"):
        claim(run)


def test_a_report_is_of_the_run_that_ends_and_knows_what_it_has_cost(small):
    run, costs = open_run(small), []
    claim(run)
    run.result.content = {"cpu_hours": 1.5}
    assert (
        publish_as_planned(run, lambda one: costs.append(one.result.content) or "table", lambda one: False) == "table"
    )
    assert costs == [{"cpu_hours": 1.5}]
