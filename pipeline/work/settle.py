"""Settle: what a sweep leaves open, the batch size and the network's form, is found out on one of its workers."""

import math
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate
from typing import Any

import torch
from torch.autograd.profiler import profile

from pipeline.cluster.executor import Cluster
from pipeline.cluster.monitor import Patience
from pipeline.cluster.task import Task, Work
from pipeline.device import Form
from pipeline.diffusion.model import Model
from pipeline.sweep.config import AUTO, AUTO_BATCH
from pipeline.sweep.model import read_model
from pipeline.sweep.run import Run, open_run
from pipeline.work.draw import DrawArguments, DrawWorker
from pipeline.work.kind import Place
from pipeline.work.perform import results_of

HEADROOM = 0.9
"""The share of a worker's GPU memory that a batch may take."""
HOST_SHARE = 0.5
"""The share of a machine's memory that the batches of all workers may take; there is one worker a core."""
TRIED = 16
"""Images in the call whose memory is measured on a CPU."""
TIMED = 5
"""Calls whose median is taken."""
WORTH_ASKING = 60.0
"""Seconds of network calls a worker from which on compiling is tried, since it takes 10 to 60 seconds itself."""
WORTH_TAKING = 0.98
"""The share of the plain form's time below which another form is taken: its pixels are others."""


@dataclass(frozen=True)
class Paces:
    """How fast the forms are on a worker."""

    seconds: dict[Form, float] = field(default_factory=dict)
    """Form → seconds of a call."""
    compiling: float = 0.0
    """Seconds of the first call of the compiled form."""
    problem: str = ""
    """Why the network could not be compiled."""


@dataclass(frozen=True)
class Fit:
    """The question which batch is the largest."""

    largest: int
    share: float
    """The worker's share of a GPU."""


@dataclass(frozen=True)
class Pace:
    """The question how fast the forms are."""

    batch_size: int
    calls: int
    """Calls for which a form is to be chosen."""


class ChoiceWorker(DrawWorker):
    """Tries the model on its device."""

    @torch.inference_mode()
    def do(self, item: Fit | Pace) -> int | Paces:  # type: ignore[override]
        """Return the answer to a question."""
        return self.fit(item) if isinstance(item, Fit) else self.pace(item)

    def fit(self, fit: Fit) -> int:
        """Return the first of n, n / 2, n / 4, … images that fit into one network call; at least 1.

        On a GPU calls are tried. On a CPU memory is measured in a call of few images, since a machine without memory
        kills processes.
        """
        sizes = [math.ceil(fit.largest / 2**k) for k in range(fit.largest.bit_length())]
        if self.device != "cuda":
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            budget, an_image = HOST_SHARE * memory / (os.cpu_count() or 1), self.bytes_an_image()
            return next((size for size in sizes if size * an_image <= budget), 1)
        torch.cuda.set_per_process_memory_fraction(HEADROOM * fit.share)
        fitting = next((size for size in sizes if self._fits_on_gpu(size)), 1)
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
        return fitting

    def bytes_an_image(self) -> float:
        """Return by how much each image raises the peak of torch's memory in a call, as its profiler counts it."""
        peaks = []
        for size in (1, TRIED):
            with profile(profile_memory=True) as profiled:
                self._call(size)
            events = [event for event in profiled.kineto_results.events() if event.name() == "[memory]"]
            events.sort(key=lambda event: event.start_ns())
            peaks.append(max(accumulate(event.nbytes() for event in events)))  # what is freed counts less than 0
        return float(peaks[1] - peaks[0]) / (TRIED - 1)

    def pace(self, pace: Pace) -> Paces:
        """Return the paces of the forms; where compiling cannot pay, the network is not compiled."""
        load = partial(read_model(self.arguments.model).load, self.device, self.arguments.precision)
        seconds: dict[Form, float] = {}
        forms: tuple[Form, ...] = ("plain", "channels_last")
        for form in forms:
            seconds[form] = self._timed(load(form), pace.batch_size)[1]
        if pace.calls * seconds["plain"] < WORTH_ASKING:
            return Paces(seconds)
        try:
            compiling, seconds["compiled"] = self._timed(load("compiled"), pace.batch_size)
        except Exception as error:  # no C++ compiler, no Triton, a compiler's own error
            return Paces(seconds, problem=f"{type(error).__name__}: {str(error).strip().splitlines()[0]}")
        return Paces(seconds, compiling)

    def _fits_on_gpu(self, size: int) -> bool:
        try:
            self._call(size)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            return False
        return True

    def _call(self, size: int) -> None:
        seeds = torch.arange(size, device=self.device)
        self._try(self.model, seeds, self.walker.x_T(seeds))

    def _timed(self, model: Model, size: int) -> tuple[float, float]:
        """Return the seconds of the first call of a model's network, and the median of others."""
        seeds, seconds = torch.arange(size, device=self.device), []
        x_T = self.walker.x_T(seeds)
        for _ in range(1 + TIMED):
            start = time.perf_counter()
            self._try(model, seeds, x_T)
            seconds.append(time.perf_counter() - start)
        return seconds[0], statistics.median(seconds[1:])

    def _try(self, model: Model, seeds: torch.Tensor, x_T: torch.Tensor) -> None:
        model.network(x_T, model.schedule.node(0), model.labels(seeds))
        if self.device == "cuda":
            torch.cuda.synchronize()


class Choice(Work[DrawArguments, Fit | Pace, int | Paces]):
    """One question to one worker."""

    name = "first worker"
    on_gpu = True
    worker = ChoiceWorker

    def __init__(self, run: Run, question: Fit | Pace) -> None:
        self.run, self.question = run, question

    @property
    def arguments(self) -> DrawArguments:
        """The run's, for the plain form."""
        config = self.run.config
        return DrawArguments(
            Place.of(self.run), self.run.identity, config.model, config.dtype, config.seed, config.batch_size
        )

    def tasks(self) -> list[Task[Fit | Pace]]:
        """Return the question as a task."""
        return [Task(self.question, "choosing what is auto", None, 0, 1)]

    def ask(self, joined: Cluster) -> Any:
        """Return the answer of a worker.

        Raises:
            IncompleteError: all attempts failed.
            PoolBrokenError: no worker became ready.

        """
        (answer,) = results_of(self, joined.pool(self.on_gpu), Patience(self.name), first=True)
        return answer


def settle(run: Run, joined: Cluster) -> Run:
    """Return the run with everything chosen that its config leaves open, and print what was chosen and why.

    Raises:
        IncompleteError, PoolBrokenError: see `Choice.ask`.

    """
    config = run.config
    if config.settled:
        return run
    size, form, gpus = config.batch_size, config.speed, joined.resources.gpus
    if size == AUTO_BATCH:
        fit = Fit(min(config.shard_size, config.num_images), min(1.0, gpus or 1.0))
        size = Choice(run, fit).ask(joined)
        print(f"--batch-size {AUTO}: {size} images a network call", file=sys.stderr)
    if form == AUTO:
        calls = calls_a_worker(run, size, joined.pool(on_gpu=True).size)
        form, why = choose(Choice(run, Pace(size, calls)).ask(joined), calls)
        print(f"--speed {AUTO}: {why}", file=sys.stderr)
    return open_run(config.settle(size, form), run.storage_options)


def calls_a_worker(run: Run, batch_size: int, workers: int) -> int:
    """Return the network calls that each worker makes in a whole run."""
    config = run.config
    firsts = range(0, config.num_images, config.shard_size)
    batches = sum(math.ceil(min(config.shard_size, config.num_images - first) / batch_size) for first in firsts)
    return sum(setting.nfe for setting in run.settings) * batches // max(1, workers)


def choose(paces: Paces, calls: int) -> tuple[Form, str]:
    """Return the form with which a worker makes so many calls soonest, and why in words."""
    totals = {form: calls * seconds for form, seconds in paces.seconds.items()}
    if "compiled" in totals:
        totals["compiled"] += paces.compiling
    best: Form = min(totals, key=lambda form: totals[form])
    form: Form = best if totals[best] <= WORTH_TAKING * totals["plain"] else "plain"
    estimates = ", ".join(f"{total:.0f} s {name}" for name, total in totals.items())
    text = f"{form}. Estimated for {calls:,} network calls a worker: {estimates}"
    if "compiled" in totals:
        text += f", of which compiling takes {paces.compiling:.0f} s"
    elif paces.problem:
        text += f"; it cannot be compiled here: {paces.problem}"
    else:
        text += "; too few to try compiling"
    return form, text
