"""Imports run one way, one file knows Ray, and files stay readable."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each room, and what it may import of the others.
ROOMS = {
    "cli": set(),
    "device": set(),
    "text_table": set(),
    "storage": set(),
    "images": {"storage"},
    "diffusion": {"device"},
    "cluster": {"device", "storage"},
    "evaluation": {"images", "storage", "device"},
    "sweep": {"evaluation", "diffusion", "images", "storage", "device"},
    "regression": {"sweep", "evaluation", "diffusion", "images", "storage", "device", "text_table"},
    "reporting": {"sweep", "evaluation", "diffusion", "images", "storage", "device", "text_table"},
}
ROOMS["tuning"] = {"reporting", *ROOMS["reporting"]}
ROOMS["work"] = {*ROOMS} - {"cli"}
ROOMS["benchmark"] = {*ROOMS} - {"cli"}
FILES = sorted((ROOT / "pipeline").rglob("*.py"))


def imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_rooms_import_downward_only(file):
    room = file.relative_to(ROOT / "pipeline").parts[0].removesuffix(".py")
    if room == "__init__":
        return
    names = imports(file) - {"pipeline.UserError", "pipeline.RunFailedError"}
    ours = {name.split(".")[1] for name in names if name.startswith("pipeline.")}
    assert ours - {room} <= ROOMS[room]


def test_the_house_has_its_rooms_and_no_more():
    paths = [path for path in (ROOT / "pipeline").iterdir() if path.name != "__pycache__"]
    assert {path.name for path in paths if path.is_file()} == {
        "__init__.py",
        "cli.py",
        "device.py",
        "py.typed",
        "text_table.py",
    }
    assert {path.name for path in paths if path.is_dir()} == {*ROOMS, "assets"} - {"cli", "device", "text_table"}


def test_jobs_are_short():
    """What they do beyond parsing lies in the rooms."""
    for file in (ROOT / "jobs").glob("*.py"):
        assert len(file.read_text().splitlines()) <= 80, file


def test_text_has_its_encoding_whatever_the_locale_is():
    """What ruff's rule sees only where it knows that something is a path."""
    for file in [*FILES, *(ROOT / "jobs").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            before = {"read_text": 0, "write_text": 1}.get(getattr(getattr(node, "func", None), "attr", ""))
            if before is not None:
                given = len(node.args) > before or "encoding" in [keyword.arg for keyword in node.keywords]
                assert given, (file.name, node.lineno)


def test_names_can_be_searched_for():
    for file in [*FILES, *(ROOT / "jobs").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()) | ast.arg(arg=name):
                    assert name not in {"found", "there", "here"}, (file, node.lineno)
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    assert name not in {"found", "there", "here"}, (file, node.lineno)


def test_only_the_executor_imports_ray():
    knowing = [file.name for file in FILES if any(name.split(".")[0] == "ray" for name in imports(file))]
    assert knowing == ["executor.py"]


def test_diffusion_is_pure():
    allowed = sys.stdlib_module_names | {"diffusers", "numpy", "pipeline", "pydantic", "safetensors", "torch"}
    for file in (ROOT / "pipeline" / "diffusion").rglob("*.py"):
        assert {name.split(".")[0] for name in imports(file)} <= allowed, file.name


def test_files_are_short_and_say_what_they_are_for():
    for folder in ("pipeline", "jobs", "tests"):
        for file in (ROOT / folder).rglob("*.py"):
            lines = file.read_text().splitlines()
            assert len(lines) <= 300, file
            assert lines[0].startswith('"""'), file


OPEN = """
import sys
from pipeline.sweep.config import make_config
from pipeline.sweep.run import open_run
import pipeline.work.complete
open_run(make_config(None, None, {"out": sys.argv[1]}))
print(*{"diffusers", "matplotlib", "scipy.stats", "sklearn", "torch_fidelity", "torchvision"} & sys.modules.keys())
"""


def test_the_driver_of_the_default_sweep_begins_without_slow_libraries(tmp_path):
    """They take longer to import than all else before the first worker starts; workers need them."""
    command = [sys.executable, "-c", OPEN, tmp_path / "out"]
    assert subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split() == []
