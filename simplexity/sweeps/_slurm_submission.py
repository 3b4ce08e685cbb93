"""Handing a sweep's runs to SLURM.

By plain sbatch with our own script, and not through submitit's executor: that one pickles the call, so that a changed
checkout breaks a waiting job; ends a failed run with SLURM's COMPLETED, because the exception is a result to it; counts
a preemption of a short job as a time-out; and needs a process that stays alive. The names of its settings are kept.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from simplexity.cluster import (
    DEFAULT_MAX_ARRAY_SIZE,
    ArraySlice,
    SlurmError,
    batch_script,
    cluster_configuration,
    inspect_container,
    is_submit_limit,
    refused_keys,
    slurm_is_installed,
    split_into_arrays,
    submit,
)
from simplexity.runs import write_durably

from ._directory import SweepDirectory
from ._launch_settings import SlurmLaunch, stops_on_failure
from ._manifest import Manifest
from ._text import display_path
from ._worker_submission import launch_of, submit_workers, task_command


class ArrayJob(NamedTuple):
    """An array job that is ready to be submitted.

    Attributes:
        array: Its array tasks, and the run that is the first of them.
        script_path: Where its batch script is to be.
        script: The batch script.
    """

    array: ArraySlice
    script_path: Path
    script: str

    @property
    def indices(self) -> list[int]:
        """The runs that it executes."""
        return [self.array.first_index + task_id for task_id in self.array.task_ids]


def require_slurm() -> None:
    """Checks that there is an sbatch to call.

    Raises:
        SlurmError: With what to do instead.
    """
    if not slurm_is_installed():
        raise SlurmError(
            "there is no `sbatch` here: submit where SLURM's programs are installed, try it on a throwaway cluster "
            "(slurm/dev-cluster up), see the script with hydra.launcher.dry_run=true, or run the sweep on this machine "
            "with hydra/launcher=local"
        )


def plan_arrays(
    sweep: SweepDirectory,
    manifest: Manifest,
    indices: Sequence[int],
    *,
    max_array_size: int = DEFAULT_MAX_ARRAY_SIZE,
    first_number: int = 0,
) -> list[ArrayJob]:
    """The array jobs for runs of a sweep.

    Args:
        sweep: The sweep.
        manifest: Its manifest, launched with SLURM.
        indices: Indices of the runs, in any order.
        max_array_size: The cluster's MaxArraySize: ids of array tasks are below it.
        first_number: Number of the first script: how many submissions there have been.

    Raises:
        ValueError: If the sweep was not launched with SLURM.
    """
    launch = launch_of(sweep, manifest)
    working_folder = Path(manifest.working_folder)
    jobs = []
    for number, array in enumerate(split_into_arrays(indices, max_array_size), start=first_number):
        path = sweep.script_path(number)
        script = batch_script(
            job_name=launch.job_name,
            task_command=task_command(launch.profile, working_folder, sweep.path),
            sweep_folder=sweep.path,
            script_path=path,
            working_folder=working_folder,
            array=array,
            parallelism=launch.array_parallelism,
            profile=launch.profile,
            image_digest=launch.image_digest,
            stops_on_failure=stops_on_failure(launch),
        )
        jobs.append(ArrayJob(array, path, script))
    return jobs


def submit_runs(sweep: SweepDirectory, manifest: Manifest, indices: Sequence[int]) -> list[str]:
    """Submits runs of a sweep that this process has locked, and records each array job as soon as it is one.

    Args:
        sweep: The sweep's folder.
        manifest: What it was launched with.
        indices: Indices of the runs to submit, in any order.

    Returns:
        The job ids.

    Raises:
        SlurmError: If SLURM refuses or does not answer; what was submitted before stays so.
        RuntimeError: If the container's image is not the one with which the sweep was launched.
    """
    require_slurm()
    _check_image(launch_of(sweep, manifest))
    if launch_of(sweep, manifest).workers is not None:
        return [submit_workers(sweep, manifest, indices)]
    size = int(cluster_configuration().get("MaxArraySize", DEFAULT_MAX_ARRAY_SIZE))
    number = len(sweep.read_submissions())
    job_ids: list[str] = []
    num_submitted = 0
    for job in plan_arrays(sweep, manifest, indices, max_array_size=size, first_number=number):
        write_durably(job.script_path, job.script, mode=0o600)
        try:
            job_ids.append(submit(job.script_path))
        except SlurmError as error:
            if is_submit_limit(error):
                remedy = "the same command with hydra.launcher.workers=auto submits as many tasks as are allowed"
            else:
                remedy = refused_keys(str(error), launch_of(sweep, manifest).profile)
            parts = [str(error), remedy]
            if job_ids:
                parts.append(
                    f"{num_submitted} of {len(indices)} runs were submitted before that, as {', '.join(job_ids)}; for "
                    f"the others: simplexity retry {shlex.quote(display_path(sweep.path))} --missing"
                )
            raise SlurmError("; ".join(part for part in parts if part)) from None
        sweep.record_submission(job.indices, job_ids[-1], job.array.first_index)
        num_submitted += len(job.indices)
    return job_ids


def _check_image(launch: SlurmLaunch) -> None:
    """Refuses an image that is not the one with which the sweep was launched."""
    container = launch.profile.container
    if container is None or launch.image_digest is None:
        return
    if inspect_container(container).digest not in (None, launch.image_digest):
        raise RuntimeError(
            f"the image {container.image} has changed since this sweep was first submitted; put the old one back, or "
            "use the new one: simplexity retry SWEEP_DIR --changed-image"
        )
