"""Conduct a study: its work does what is missing, then its report is written."""

import sys
from typing import Any

from pipeline.cluster.resources import Request
from pipeline.sweep.layout import REPORT, SUMMARY
from pipeline.work.claim import claim, claimed
from pipeline.work.kind import StudyWork
from pipeline.work.perform import perform


def conduct(work: StudyWork[Any, Any, Any], request: Request) -> None:
    """Do what is missing from a study, write its report and print its table. If nothing is missing, Ray is not started.

    Raises:
        IncompleteError: all attempts at a task failed; all other tasks are done.

    """
    study = work.study
    tasks = work.planned()
    planned = len({task.group for task in tasks}), sum(task.images for task in tasks)
    if not work.tasks():
        claim(study)
        print("nothing to do: every file is there", file=sys.stderr)
        with study.result.recorded(*planned):
            _report(work)
        return
    with claimed(study, request) as joined, study.result.recorded(*planned):
        perform(work, joined, study.result)
        _report(work)


def _report(work: StudyWork[Any, Any, Any]) -> None:
    text = work.publish()
    work.study.storage.write(f"{REPORT}/{SUMMARY}", f"{text}\n".encode())
    print(text)
