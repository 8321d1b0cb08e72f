"""The works whose files lie in an output, in the order of their making. A new one is a file here and its entry."""

from typing import Any

from pipeline.work.claim import Claim
from pipeline.work.draw import Draw
from pipeline.work.extract import Extract
from pipeline.work.kind import RunWork
from pipeline.work.measure import Measure

WORKS: dict[str, type[RunWork[Any, Any, Any]]] = {kind.name: kind for kind in (Claim, Draw, Extract, Measure)}
