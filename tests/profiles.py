"""Profiles of clusters for the tests: that of the dev cluster, with changes."""

from pathlib import Path

import yaml

from simplexity.cluster import ClusterProfile

_DEV = Path(__file__).parents[1] / "simplexity" / "configs" / "cluster" / "dev.yaml"


def dev_profile(**changes) -> ClusterProfile:
    """The packaged profile of the dev cluster, with other values of some keys."""
    return ClusterProfile(**yaml.safe_load(_DEV.read_text()) | changes)
