"""The small sweep on a cluster: a copy of the project as working directory, and what an undisturbed run draws."""

import shutil

import pytest
from cluster_sweep import SIZE, digests
from places import draw_and_measure
from processes import ROOT


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The digests by the plain classes, without Ray."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    draw_and_measure(out, **SIZE)
    return digests(out)


@pytest.fixture(scope="module")
def working_dir(tmp_path_factory):
    """A copy of what a job needs, whose workers leave a note of where they were imported from."""
    folder = tmp_path_factory.mktemp("working_dir")
    for name in ("jobs", "pipeline"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    notes = tmp_path_factory.mktemp("notes")
    with (folder / "pipeline" / "work" / "draw.py").open("a") as sampler:
        sampler.write(f"\nimport os\nopen(f'{notes}/{{os.getpid()}}', 'w').write(__file__)\n")
    return folder, lambda: {note.read_text() for note in notes.iterdir()}
