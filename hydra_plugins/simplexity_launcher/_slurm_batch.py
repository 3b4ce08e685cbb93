"""A batch of runs on SLURM: the cluster's profile with its container, the dry run, the submission, the watching."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig

import simplexity
from simplexity.cluster import (
    ClusterProfile,
    Container,
    SubmissionLimits,
    inspect_container,
    is_inside_image,
    slurm_is_installed,
    submission_limits,
)
from simplexity.composition import ConfigError, Problem, config_errors_at, read_profile
from simplexity.runs import counted
from simplexity.sweeps import (
    Manifest,
    SlurmLaunch,
    SweepDirectory,
    display_path,
    head_text,
    num_workers,
    plan_arrays,
    runs_text,
    submit_runs,
    workers_script,
    workers_text,
)

from ._batch import idle_runs, watch_command
from ._preparation import PreparedRun, new_manifest
from ._programs import cost_text, programs_text

_log = logging.getLogger(__name__)


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


def print_dry_run(
    sweep: SweepDirectory, config: DictConfig, launch: SlurmLaunch, prepared: Sequence[PreparedRun]
) -> None:
    """Prints the batch scripts and the manifest of a batch that is not submitted."""
    runs = [one.run for one in prepared]
    manifest = new_manifest(config, launch, runs)
    cost = cost_text(sweep, launch, prepared)
    if launch.workers is not None:
        # A dry run needs no SLURM.
        limits = submission_limits(launch.profile) if slurm_is_installed() else SubmissionLimits()
        workers = num_workers(launch, runs, limits)
        sys.stdout.write(f"# {sweep.script_path(0)}\n{workers_script(sweep, manifest, 0, workers)}\n")
        _print_manifest(sweep, manifest)
        sys.stdout.write(f"# {workers_text(len(runs), workers, launch.profile)}, {programs_text(prepared)}\n")
    else:
        for job in plan_arrays(sweep, manifest, [run.index for run in runs]):
            sys.stdout.write(f"# {job.script_path}\n{job.script}\n")
        _print_manifest(sweep, manifest)
    if cost:
        sys.stdout.write(f"# {cost}\n")


def _print_manifest(sweep: SweepDirectory, manifest: Manifest) -> None:
    sys.stdout.write(f"# {sweep.manifest_path}\n{head_text(manifest)}# {sweep.runs_path}\n{runs_text(manifest.runs)}")


def submit_batch(sweep: SweepDirectory, manifest: Manifest, prepared: Sequence[PreparedRun]) -> None:
    """Submits those of the runs that nothing else is executing or has completed."""
    indices = idle_runs(sweep, prepared)
    if not indices:
        return
    path = display_path(sweep.path)
    cost = cost_text(sweep, manifest.launch, prepared) if isinstance(manifest.launch, SlurmLaunch) else ""
    job_ids = submit_runs(sweep, manifest, indices)
    how = "as job" if len(job_ids) == 1 else "as jobs"
    _log.info("submitted %s %s %s, in %s", counted(len(indices), "run"), how, ", ".join(job_ids), path)
    if isinstance(manifest.launch, SlurmLaunch) and manifest.launch.workers is not None:
        # SLURM may have refused more.
        workers = sweep.read_submissions()[-1].num_workers or 1
        _log.info("%s, %s", workers_text(len(indices), workers, manifest.launch.profile), programs_text(prepared))
    if cost:
        _log.info("%s", cost)
    _log.info("to watch them: %s", watch_command(sweep))


def become_watcher(sweep: SweepDirectory) -> NoReturn:
    """This process then does what `simplexity status --watch` does.

    It may take days, and a login node has better use for the memory of JAX and of all configs.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "simplexity.cli", "status", str(sweep.path), "--watch"])


def _own_container() -> Container | None:
    """The image that this process is in, if slurm/sweep.sh has started it there."""
    if not is_inside_image():
        return None
    runtime = "apptainer" if "APPTAINER_CONTAINER" in os.environ else "singularity"
    return Container(image=os.environ["SIMPLEXITY_IMAGE"], runtime=runtime, binds=[], env={})


def _of_image(message: str) -> Problem:
    return Problem("cluster.container.image", message)
