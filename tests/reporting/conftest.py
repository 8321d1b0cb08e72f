"""Fixture: the figures of reports, kept before they become files."""

import matplotlib.pyplot as plt
import pytest
from figures import Kept

from pipeline.reporting import plots, reconstruction


@pytest.fixture
def kept(monkeypatch):
    """All figures of the reports, which become no files."""
    found = Kept()
    for module in (plots, reconstruction):
        monkeypatch.setattr(module, "saved", found)
    yield found
    for figure in found.figures:
        plt.close(figure)
