"""Conduct a study: its work does what is missing, then its report is written."""

import sys
from typing import Any

from pipeline import UserError
from pipeline.cluster.resources import Request
from pipeline.storage.store import DamagedFileError
from pipeline.sweep.layout import REPORT, SUMMARY
from pipeline.sweep.study import Study
from pipeline.work.claim import claim, claimed, publish_as_planned
from pipeline.work.kind import StudyWork
from pipeline.work.perform import perform


def conduct(work: StudyWork[Any, Any, Any], request: Request) -> None:
    """Do what is missing from a study, write its report and print its table. If nothing is missing, Ray is not started.

    Raises:
        UserError: the output has lost its study.json, and its files are another study's.
        IncompleteError: all attempts at a task failed; all other tasks are done.

    """
    study = work.study
    for note in study.notes:
        print(note, file=sys.stderr)
    tasks = work.planned()
    if study.first_file not in study.storage.names():
        _assert_files_are_of(work)
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


def _assert_files_are_of(work: StudyWork[Any, Any, Any]) -> None:
    found = work.study.storage.find()
    there = [file for task in work.planned() if found.get((file := work.file(task.item)).path)]
    try:
        for file in there[:1]:
            file.read(work.study.storage)
    except DamagedFileError as error:
        raise UserError(
            f"--out {error}: without {work.study.first_file} nothing says more, give another --out"
        ) from error


def _report(work: StudyWork[Any, Any, Any]) -> None:
    make = type(work)

    def publish(study: Study) -> str:
        text = (work if study.config == work.study.config else make(study)).publish()
        text = "\n".join([text, *(f"{note}." for note in study.notes)])
        study.storage.write(f"{REPORT}/{SUMMARY}", f"{text}\n".encode())
        return text

    print(publish_as_planned(work.study, publish, lambda study: not make(study).tasks()))
