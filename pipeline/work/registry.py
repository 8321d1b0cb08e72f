"""The works that own files of an output: of a sweep, in the order in which they run, and of studies."""

from typing import Any

from pipeline.work.draw import Draw
from pipeline.work.extract import Extract
from pipeline.work.interpolate import Interpolate
from pipeline.work.kind import RunWork, StudyWork
from pipeline.work.match import Consistency
from pipeline.work.measure import Measure
from pipeline.work.reconstruct import Reconstruct
from pipeline.work.trace import Trace
from pipeline.work.tune import Tune

_KINDS: tuple[type[RunWork[Any, Any, Any]], ...] = (Draw, Extract, Measure, Consistency)
WORKS = {kind.name: kind for kind in _KINDS}
_OF_STUDIES: tuple[type[StudyWork[Any, Any, Any]], ...] = (Reconstruct, Interpolate, Trace, Tune)
STUDIES = {work.config.kind: work for work in _OF_STUDIES}
"""Kind of a study → its work."""
