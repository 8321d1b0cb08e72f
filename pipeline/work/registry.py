"""The works that own files of an output, in the order in which they run. A new work needs a file and an entry here."""

from typing import Any

from pipeline.work.claim import Claim
from pipeline.work.draw import Draw
from pipeline.work.extract import Extract
from pipeline.work.kind import RunWork
from pipeline.work.measure import Measure

WORKS: dict[str, type[RunWork[Any, Any, Any]]] = {kind.name: kind for kind in (Claim, Draw, Extract, Measure)}
