"""The classifier of digits that the package has."""

from importlib.resources import files
from pathlib import Path

DIGITS = "digits-classifier"
DIGITS_WEIGHTS = Path(str(files("pipeline") / "assets" / "digits-classifier" / "classifier.safetensors"))
DIGITS_WIDTH = 64
