"""A profile for the checks to judge."""

import pytest

from tests.profiles import dev_profile


@pytest.fixture
def profile():
    """Changes -> the packaged profile of the dev cluster."""
    return dev_profile
