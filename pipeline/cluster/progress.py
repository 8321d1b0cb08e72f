"""Progress of a work: a bar on a terminal, or a line every few seconds in a log."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Counts images and cost. Time left follows from cost, since an image of 100 steps costs 20 times one of 5."""

    def __init__(self, name: str, num_images: int, cost: float) -> None:
        """Start the clock; `num_images` and `cost` are the totals to do."""
        self.name, self.num_images, self.cost = name, num_images, cost
        self.images, self.spent = 0, 0.0
        self.start = self.last_line = time.monotonic()
        self.on_terminal = sys.stderr.isatty()
        layout = "{percentage:3.0f}%|{bar}| {desc}"
        self.bar = tqdm(total=cost, desc=name, bar_format=layout, disable=not self.on_terminal)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.close()
        if not self.on_terminal and kind is None:
            self._line()

    def add(self, images: int, cost: float) -> None:
        """Count a finished task."""
        self.images += images
        self.spent += cost
        self.bar.set_description_str(f"{self.name} {self._text()}", refresh=False)
        self.bar.update(cost)

    def tick(self) -> None:
        """Print a line if one is due."""
        if not self.on_terminal and time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self._line()

    def _line(self) -> None:
        self.last_line = time.monotonic()
        print(f"{self.name} {self.spent / self.cost:4.0%}  {self._text()}", file=sys.stderr, flush=True)

    def _text(self) -> str:
        elapsed = time.monotonic() - self.start
        left = f"{elapsed * (self.cost / self.spent - 1):.0f} s left" if self.spent else "…"
        rate = self.images / elapsed if elapsed else 0.0
        return f"{self.images:,} of {self.num_images:,} images, {rate:,.0f} images/s, {left}"
