"""The packaged profile of the dev cluster, with changes."""

from pathlib import Path

import pytest
import yaml

from simplexity.cluster import ClusterProfile

PROFILES = Path(__file__).parents[2] / "simplexity" / "configs" / "cluster"


@pytest.fixture
def profile():
    """Changes -> the packaged profile of the dev cluster."""

    def make(**changes) -> ClusterProfile:
        return ClusterProfile(**yaml.safe_load((PROFILES / "dev.yaml").read_text()) | changes)

    return make
