"""A checkpoint to damage."""

import shutil

import pytest


@pytest.fixture
def copy(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    return tmp_path / "model"
