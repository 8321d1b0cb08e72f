"""The report of an interpolation: its numbers from made-up lines by hand, and pictures in the place of their label."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from figures import image_of, plain, ticks
from measured_rows import GRID
from PIL import Image

from pipeline.reporting import interpolation
from pipeline.storage.store import Storage

SEEDS = ((3, 1), (4, 15))
PATHS = ("slerp", "lerp", "blend")
STEPS = {
    # the steps of two lines, their largest by their mean: 1.5 and 2, 1.25 and 2.5, 4 and 3
    "slerp": ((1.0, 3.0, 2.0, 2.0), (1.0, 1.0, 4.0, 2.0)),
    "lerp": ((5.0, 5.0, 3.0, 3.0), (2.0, 1.0, 5.0, 0.0)),
    "blend": ((0.0, 0.0, 0.0, 8.0), (6.0, 1.0, 1.0, 0.0)),
}
NORMS = {"slerp": (0.9, 1.1, 0.97, 1.2, 0.8), "lerp": (1.0, 0.85, 0.71, 0.88, 1.05), "blend": (None,) * 5}


def gray(path, line, k):
    """Each picture has another gray."""
    return 10 + 80 * PATHS.index(path) + 30 * line + 4 * k


def the_rows():
    return [
        {
            **{"path": path, "seed": seed, "to_seed": to, "position": k / 4, "image": plain(gray(path, i, k))},
            "step": STEPS[path][i][k - 1] if k else None,
            "x_T_norm": None if path == "blend" else NORMS[path][k] + 0.02 * i,
        }
        for path in reversed(PATHS)
        for i, (seed, to) in enumerate(SEEDS)
        for k in range(5)
    ]


def the_grid():
    return [{"image": plain(100 + 10 * down + right)} for down in range(3) for right in range(3)]


@pytest.fixture
def study(tmp_path):
    return SimpleNamespace(storage=Storage(str(tmp_path)), out=f"{tmp_path}/", identity={"encodings": None, "count": 5})


def test_numbers_and_text_are_those_of_the_lines(study, kept):
    said = interpolation.publish(study, GRID[0], the_grid(), the_rows(), animated=False)
    found = json.loads(study.storage.read("metrics.json"))
    # means and standard errors of two numbers a and b by hand: (a + b) / 2 and |a − b| / 2
    expected = {"slerp": (1.75, 0.25, 0.98), "lerp": (1.875, 0.625, 0.72), "blend": (3.5, 0.5, None)}
    assert [row["path"] for row in found] == [*PATHS]
    for row in found:
        mean, se, norm = expected[row["path"]]
        assert (row["lines"], row["smoothness"], row["smoothness_se"]) == (2, pytest.approx(mean), pytest.approx(se))
        assert row["x_T_norm_in_the_middle"] == (None if norm is None else pytest.approx(norm))
    head, _, *table = said.split("\n\n")[0].splitlines()
    assert head.split() == ["path", "largest", "step", "/", "mean", "step", "norm", "of", "x_T", "in", "the", "middle"]
    assert [" ".join(line.split()) for line in table] == [
        "slerp of x_T (eq. 67) 1.75 ± 0.25 0.980",
        "lerp of x_T, a control 1.88 ± 0.62 0.720",
        "blending of pixels, a control 3.50 ± 0.50 –",
    ]
    caption = (
        "2 lines of 5 pictures between image seeds, DDIM η = 0.0, S = 7; steps are distances in features. 1 is an even "
        "walk, 4 a single jump; ± one standard error over lines."
    )
    assert caption in said
    assert caption in study.storage.read("report/table.md").decode()
    assert set(study.storage.ls("report")) == {
        "table.md",
        *(f"{n}.{k}" for n in ("grid", "lines") for k in ("png", "pdf")),
    }


def pictures(axes, down, right):
    """The grays of rows and columns of pictures of 8 by 8 with a pixel between them."""
    return [[image_of(axes)[9 * y + 4, 9 * x + 4] for x in range(right)] for y in range(down)]


def test_pictures_stand_in_the_row_of_their_label(study, kept):
    interpolation.publish(study, GRID[0], the_grid(), the_rows(), animated=False)
    grid, lines = (figure.axes[0] for figure in kept.figures)
    assert pictures(grid, 3, 3) == [[100, 101, 102], [110, 111, 112], [120, 121, 122]]
    labels = [text for _, text in ticks(lines.yaxis)]
    shown = dict(zip(labels, pictures(lines, 6, 5), strict=True))
    assert shown == {
        f"{seed} to {to}, {path}": [gray(path, i, k) for k in range(5)]
        for i, (seed, to) in enumerate(SEEDS)
        for path in PATHS
    }


def test_the_animation_walks_along_slerp_and_back(study, kept):
    interpolation.publish(study, GRID[0], the_grid(), the_rows(), animated=True)
    with Image.open(f"{study.out}report/lines.gif") as animation:
        frames = []
        for k in range(animation.n_frames):
            animation.seek(k)
            pixels = np.asarray(animation.convert("L"))
            frames.append([pixels[32, 32], pixels[32, -32]])
    assert frames == [[gray("slerp", i, k) for i in range(2)] for k in (0, 1, 2, 3, 4, 3, 2, 1)]
