"""What is installed: the wheel carries the models, and they are as small as promised."""

import subprocess
import sys
import zipfile
from pathlib import Path

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
