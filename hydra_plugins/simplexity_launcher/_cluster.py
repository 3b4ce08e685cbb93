"""The cluster's profile, from the launcher's config, with the container that its tasks run in."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import simplexity
from simplexity.cluster import ClusterProfile, Container, inspect_container, is_inside_image
from simplexity.composition import ConfigError, Problem, config_errors_at, read_profile


def cluster_profile(cluster: Mapping[str, Any], timeout_min: int | None) -> ClusterProfile:
    """The profile that a sweep is submitted with.

    Args:
        cluster: The fields of `ClusterProfile`.
        timeout_min: Time limit in minutes instead of the profile's; None for that.

    Raises:
        ConfigError: With all mistakes in it.
    """
    profile = read_profile(cluster, timeout_min)
    container = profile.container or _own_container()
    if container is not None and container.is_file:
        container = replace(container, image=str(Path(container.image).absolute()))
    return replace(profile, container=container)


def checked_image_digest(profile: ClusterProfile) -> str | None:
    """The digest of the container's image, which was looked at; None without a container.

    Raises:
        ConfigError: If no task could run in it, or it holds another version of simplexity.
    """
    container = profile.container
    if container is None:
        return None
    with config_errors_at("cluster.container"):
        facts = inspect_container(container)
    if facts.version is None and facts.digest is not None:
        raise ConfigError([_of_image(f"{container.image} does not say its version: containers/build.sh makes one")])
    if facts.version not in (None, simplexity.__version__):
        message = (
            f"{container.image} has simplexity {facts.version}, and the sweep is composed by {simplexity.__version__}"
        )
        raise ConfigError([_of_image(f"{message}; build the image again, or check out {facts.version}")])
    return facts.digest


def _own_container() -> Container | None:
    """The image that this process is in, if slurm/sweep.sh has started it there."""
    if not is_inside_image():
        return None
    runtime = "apptainer" if "APPTAINER_CONTAINER" in os.environ else "singularity"
    return Container(image=os.environ["SIMPLEXITY_IMAGE"], runtime=runtime, binds=[], env={})


def _of_image(message: str) -> Problem:
    return Problem("cluster.container.image", message)
