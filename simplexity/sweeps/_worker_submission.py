"""Handing a sweep to SLURM as an array job with workers: how many tasks it has, and how it meets the limits."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from simplexity.cluster import (
    ArraySlice,
    ClusterProfile,
    SlurmError,
    SubmissionLimits,
    batch_script,
    container_command,
    is_submit_limit,
    refused_keys,
    submission_limits,
    submit,
)
from simplexity.runs import counted, write_durably

from ._directory import SweepDirectory
from ._launch_settings import SlurmLaunch, stops_on_failure
from ._local import RESUME, WORK
from ._manifest import Manifest, SweepRun

_log = logging.getLogger(__name__)
# `workers: auto` gives each worker at least so much to do, by a rate that small models exceed: it takes about as long
# until a job starts, and its program is compiled.
_STEPS_PER_S = 100
_WORTH_A_WORKER_S = 300


def launch_of(sweep: SweepDirectory, manifest: Manifest) -> SlurmLaunch:
    """How a sweep was launched with SLURM.

    Raises:
        ValueError: If it was not.
    """
    if not isinstance(manifest.launch, SlurmLaunch):
        raise ValueError(f"the sweep {sweep.path} was not launched with hydra/launcher=slurm")
    return manifest.launch


def num_workers(launch: SlurmLaunch, runs: Sequence[SweepRun], limits: SubmissionLimits) -> int:
    """How many array tasks execute the runs: none has more workers than there are runs, and limits are kept.

    Args:
        launch: Its `workers` is a number or "auto".
        runs: Those to execute. Their numbers of steps say how many workers they are worth.
        limits: Of the cluster and the user.
    """
    each = launch.profile.workers_per_task
    most = min(math.ceil(len(runs) / each), limits.max_tasks)
    if launch.workers != "auto":
        return min(most, launch.workers or 1)
    worth = math.ceil(sum(run.num_train_steps for run in runs) / _STEPS_PER_S / _WORTH_A_WORKER_S / each)
    return max(1, min(most, worth, launch.array_parallelism or most))


def workers_script(sweep: SweepDirectory, manifest: Manifest, number: int, workers: int) -> str:
    """The batch script of an array job with workers.

    Args:
        sweep: The sweep.
        manifest: Its manifest, launched with SLURM.
        number: That of the submission, 0 for the sweep's first.
        workers: How many array tasks there are.
    """
    launch, working_folder = launch_of(sweep, manifest), Path(manifest.working_folder)
    return batch_script(
        job_name=launch.job_name,
        task_command=task_command(launch.profile, working_folder, sweep.path, WORK),
        sweep_folder=sweep.path,
        script_path=sweep.script_path(number),
        working_folder=working_folder,
        array=ArraySlice(0, tuple(range(workers))),
        parallelism=launch.array_parallelism,
        profile=launch.profile,
        image_digest=launch.image_digest,
        stops_on_failure=stops_on_failure(launch),
        has_workers=True,
    )


def submit_workers(sweep: SweepDirectory, manifest: Manifest, indices: Sequence[int]) -> str:
    """Submits workers for runs of a sweep that this process has locked; fewer, where SLURM refuses so many.

    Returns:
        The job id.

    Raises:
        SlurmError: If SLURM refuses for another reason, or even one worker.
    """
    launch, number = launch_of(sweep, manifest), len(sweep.read_submissions())
    wanted = set(indices)
    runs = [run for run in manifest.runs if run.index in wanted]
    workers = num_workers(launch, runs, submission_limits(launch.profile))
    path = sweep.script_path(number)
    while True:
        write_durably(path, workers_script(sweep, manifest, number, workers), mode=0o600)
        try:
            job_id = submit(path)
            break
        except SlurmError as error:
            too_many = is_submit_limit(error)
            if not too_many or workers == 1:
                wait = "wait until some of your jobs have ended"
                parts = [str(error), wait if too_many else refused_keys(str(error), launch.profile)]
                raise SlurmError("; ".join(part for part in parts if part)) from None
            _log.warning("SLURM refuses %d workers (%s): submitting %d", workers, error, workers // 2)
            workers //= 2
    sweep.record_submission(indices, job_id, None, workers)
    return job_id


def workers_text(num_runs: int, tasks: int, profile: ClusterProfile) -> str:
    """What workers will do, in words: `96 runs, 12 workers, about 8 runs each`.

    Args:
        num_runs: How many runs they execute.
        tasks: How many array tasks there are.
        profile: Says how many workers each of them has.
    """
    workers = tasks * profile.workers_per_task
    where = f" in {counted(tasks, 'array task')}" if workers != tasks else ""
    each = round(num_runs / workers)
    return f"{counted(num_runs, 'run')}, {counted(workers, 'worker')}{where}, about {counted(each, 'run')} each"


def task_command(
    profile: ClusterProfile, working_folder: Path, sweep_path: Path, command: Sequence[str] = RESUME
) -> list[str]:
    """What a task executes on a node, in the profile's container if it has one.

    Args:
        profile: The cluster's.
        working_folder: The current folder on the node; absolute.
        sweep_path: The sweep's folder, which a container sees under the same name; absolute.
        command: Python and its arguments; in a container Python is the image's.

    Raises:
        ValueError: If a folder has a name that the container's runtime cannot bind.
    """
    if profile.container is None:
        return list(command)
    return container_command(profile, ["python", *command[1:]], [working_folder, sweep_path])
