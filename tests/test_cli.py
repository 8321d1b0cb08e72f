"""The jobs' frame: what each kind of error prints, and the status that it ends with."""

from pipeline.cli import exit_with

import pytest

from pipeline import RunFailedError, UserError


def raising(error):
    def job():
        raise error

    return job


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (UserError("give another"), 2, "error: give another\n"),
        (RunFailedError("a: gone"), 3, "error: a: gone\n"),
        (NotADirectoryError(20, "Not a directory", "/x/images"), 3, "error: [Errno 20] Not a directory: '/x/images'\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_is_one_line_and_a_status(error, status, says, capsys):
    with pytest.raises(SystemExit) as ended:
        exit_with(raising(error), failed=3)
    assert (ended.value.code, capsys.readouterr().err) == (status, says)


def test_a_bug_is_a_traceback_and_no_answer(capsys):
    with pytest.raises(SystemExit) as ended:
        exit_with(raising(KeyError("x")), failed=3)
    assert (ended.value.code, "Traceback" in capsys.readouterr().err) == (3, True)


def test_the_status_of_a_job_is_its_own(capsys):
    with pytest.raises(SystemExit) as ended:
        exit_with(lambda: 1)
    assert (ended.value.code, capsys.readouterr().err) == (1, "")
