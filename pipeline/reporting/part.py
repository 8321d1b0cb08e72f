"""One output on the page: its settings, its measured rows, its labels and its pictures."""

import base64
import io
import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from pipeline.diffusion.samplers.base import Sampler
from pipeline.images.pixels import Pixels
from pipeline.reporting.labels import Row, labels, sampler_of
from pipeline.reporting.standings import NOT_MEASURED, duration, shown
from pipeline.sweep.grid import Setting
from pipeline.sweep.run import Run

_CELL = 128
"""Pixels to which a cell's picture may grow, before it has one image."""
_IMAGES_A_CELL = 4
_SECRETS = re.compile(r"([\w+.-]+://)(?:[^/\s]*@)?([^\s?]*)(?:\?[^\s,;]*)?")


@dataclass(frozen=True)
class Part:
    """What the page shows of one output, whole or half done."""

    run: Run
    rows: list[Row]
    """Rows of metrics.json of the settings that are measured, with published numbers if they may be compared."""
    caption: list[str]
    """Lines on what was measured and how it differs from the paper."""
    pictures: dict[Setting, Pixels]
    """Setting → its first images."""

    @cached_property
    def measured(self) -> dict[Setting, Row]:
        """Setting → row, in the order of the grid."""
        rows = {(sampler_of(row), row["steps"], row["spacing"], row["clip"]): row for row in self.rows}
        keys = {setting: (setting.sampler, setting.steps, setting.spacing, setting.clip) for setting in self.settings}
        return {setting: rows[key] for setting, key in keys.items() if key in rows}

    @property
    def settings(self) -> list[Setting]:
        """All settings of the grid."""
        return self.run.settings

    @cached_property
    def labels(self) -> dict[Sampler, str]:
        """Sampler → label."""
        return labels([setting.describe() for setting in self.settings])

    @property
    def output(self) -> str:
        """The output's URL without what may be secret."""
        return public(self.run.config.out.rstrip("/"))

    def line_label(self, setting: Setting) -> str:
        """Return the label of a setting's line in a chart: its sampler, and the spacing if that has several."""
        several = len({one.spacing for one in self.settings if one.sampler == setting.sampler}) > 1
        return self.labels[setting.sampler] + (f", {setting.spacing}" if several else "")


def public(text: str) -> str:
    """Return text with every URL in it bare of user, password and query, which may be secret."""
    return _SECRETS.sub(r"\1\2", text)


def picture_grid(part: Part) -> list[tuple[str, dict[int, dict[str, Any]]]]:
    """Return (label, S → picture) for each line of settings."""
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    width = part.run.model.image_shape[2]
    count = max(1, min(_IMAGES_A_CELL, (_CELL // width) ** 2))
    for setting, pixels in part.pictures.items():
        label = part.line_label(setting)
        row = part.measured.get(setting, {})
        speed = row.get("images_per_second")
        seeds = f"seeds 0 to {min(count, len(pixels)) - 1}" if count > 1 else "seed 0"
        rows.setdefault(label, {})[setting.steps] = {
            "alt": f"{label}, S = {setting.steps}: images of {seeds}",
            "calls": setting.nfe,
            "seconds": duration(1 / speed) if speed else NOT_MEASURED,
            "fid": shown("fid", row, "fid_se") if row else "",
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
