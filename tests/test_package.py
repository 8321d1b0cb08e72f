"""What is installed: the wheel carries the models, and they are as small as promised."""

import ast
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "pipeline" / "assets"


def test_the_models_are_small_and_say_how_they_were_made():
    assert sum(file.stat().st_size for file in ASSETS.rglob("*") if file.is_file()) < 8_000_000
    assert {file.suffix for file in ASSETS.rglob("*") if file.is_file()} == {
        *(".json", ".safetensors", ".parquet"),
    }
    for folder in ("digits-ddpm", "digits-classifier"):
        assert '"command": "python jobs/train_digits.py' in (ASSETS / folder / "training.json").read_text()


def test_the_wheel_carries_them(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [file for file in (ROOT / "pipeline").rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert {str(file.relative_to(ROOT)) for file in files} <= names
    assert not any(name.startswith(("tests", "jobs")) for name in names)


def declared(*extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return {canonicalize_name(Requirement(text).name) for text in texts}


def imported(folder):
    """Top-level names that are imported under a folder, but for the standard library and the project."""
    names = set()
    for file in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.partition(".")[0])
    ours = {file.stem for file in (ROOT / "tests").rglob("*.py")} | {"pipeline"}
    return names - sys.stdlib_module_names - ours


@pytest.mark.parametrize(("folder", "extras"), [("pipeline", ["train"]), ("jobs", []), ("tests", ["test"])])
def test_whatever_is_imported_is_declared(folder, extras):
    distributions = packages_distributions()
    known = declared(*extras)
    for name in imported(folder):
        assert known & {canonicalize_name(distribution) for distribution in distributions[name]}, name


def test_what_is_used_of_rays_inside_is_in_the_release_that_is_installed():
    """It is bounded above, since an internal function may go with any release."""
    from pipeline.cluster import executor

    assert callable(executor.create_gcs_channel)
    assert executor.is_autoscaler_v2.__module__ == "ray.autoscaler.v2.utils"
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (ray,) = [Requirement(text) for text in requirements if Requirement(text).name == "ray"]
    assert executor.ray.__version__ in ray.specifier
    assert any(one.operator == "<" for one in ray.specifier)
