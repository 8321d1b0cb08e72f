"""The works that own files of an output, in the order in which they run. A new work needs a file and an entry here."""

from typing import Any

from pipeline.work.claim import Claim
from pipeline.work.consistency import Consistency
from pipeline.work.draw import Draw
from pipeline.work.extract import Extract
from pipeline.work.kind import RunWork
from pipeline.work.measure import Measure

_KINDS: tuple[type[RunWork[Any, Any, Any]], ...] = (Claim, Draw, Extract, Measure, Consistency)
WORKS = {kind.name: kind for kind in _KINDS}
