"""One output on the page: its settings, its measured rows and its pictures."""

import base64
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pipeline.images.pixels import Pixels
from pipeline.reporting.columns import duration, metric_shown
from pipeline.reporting.standings import NOT_MEASURED
from pipeline.sweep.grid import Rows, Setting
from pipeline.sweep.method import Method
from pipeline.sweep.run import Run

_CELL = 128
"""Pixels to which a cell's picture may grow, before it has one image."""
_IMAGES_A_CELL = 4
_SECRETS = re.compile(r"([\w+.-]+://)(?:[^/\s]*@)?([^\s?]*)(?:\?[^\s,;]*)?")


@dataclass(frozen=True)
class Part:
    """What the page shows of one output, whole or half done."""

    run: Run
    measured: Rows
    """Rows of metrics.json of the settings that are measured, with published numbers if they may be compared."""
    caption: list[str]
    """Lines on what was measured and how it differs from the paper."""
    pictures: dict[Setting, Pixels]
    """Setting → its first images."""

    @property
    def settings(self) -> list[Setting]:
        """All settings of the grid."""
        return self.run.settings

    @property
    def output(self) -> str:
        """The output's URL without what may be secret."""
        return public(self.run.config.out.rstrip("/"))


def public(text: str) -> str:
    """Return text with every URL in it bare of user, password and query, which may be secret."""
    return _SECRETS.sub(r"\1\2", text)


def picture_grid(part: Part, names: Mapping[Method, str]) -> list[tuple[str, dict[int, dict[str, Any]]]]:
    """Return (label, S → picture) for each method; `names` are labels."""
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    width = part.run.model.image_shape[2]
    count = max(1, min(_IMAGES_A_CELL, (_CELL // width) ** 2))
    for setting, pixels in part.pictures.items():
        label = names[setting.method]
        row = part.measured.get(setting, {})
        speed = row.get("images_per_second")
        seeds = f"seeds 0 to {min(count, len(pixels)) - 1}" if count > 1 else "seed 0"
        rows.setdefault(label, {})[setting.steps] = {
            "alt": f"{label}, S = {setting.steps}: images of {seeds}",
            "calls": setting.nfe,
            "seconds": duration(1 / speed) if speed else NOT_MEASURED,
            "fid": metric_shown("fid", row) if row else "",
            "png": base64.b64encode(_png(pixels[:count])).decode(),
            "small": width < 64,
        }
    return [*rows.items()]


def _png(pixels: Pixels) -> bytes:
    """Return a PNG of images, shape (N, H, W, C), in a square of them, with nothing between them."""
    count, height, width, _ = pixels.shape
    across, gap = math.ceil(math.sqrt(count)), max(1, height // 16) if count > 1 else 0
    down = -(-count // across)
    picture = np.zeros((down * (height + gap) - gap, across * (width + gap) - gap, 4), np.uint8)  # transparent
    for i, image in enumerate(pixels):
        y, x = i // across * (height + gap), i % across * (width + gap)
        picture[y : y + height, x : x + width, :3] = image  # a gray one goes to all three
        picture[y : y + height, x : x + width, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
