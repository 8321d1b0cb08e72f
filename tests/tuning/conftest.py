"""The digits' extractor."""

import pytest

from pipeline.evaluation.digits import DIGITS
from pipeline.evaluation.extractors import extractor_info


@pytest.fixture(scope="session")
def extractor():
    return extractor_info(DIGITS, None)
