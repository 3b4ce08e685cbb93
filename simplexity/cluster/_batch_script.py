"""The batch scripts of a sweep: the text that sbatch is given."""

import os
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from ._arrays import ArraySlice, array_expression
from ._container import container_exports, profile_folders
from ._profile import ClusterProfile
from ._worker_tasks import gpu_memory_share, worker_command, worker_names

LOG_FOLDER = "logs"
"""Folder within a sweep's for what each array task prints: INDEX.log, continued by every restart.

INDEX.jobs beside it has a line for every job that was submitted in place of one that SLURM refused to requeue: its id.
INDEX.exit has the exit code of the last batch script, if that has ended and is not to come back: it shows that a run
failed before its ledger was open; if it is missing, SLURM has ended the job by itself.
"""

# Seconds that the other processes of a run have to end after the first: all save at the same step, but one writes.
_LAST_PROCESS_S = 300


def batch_script(
    *,
    job_name: str,
    task_command: Sequence[str],
    sweep_folder: Path,
    script_path: Path,
    working_folder: Path,
    array: ArraySlice,
    parallelism: int | None,
    profile: ClusterProfile,
    image_digest: str | None = None,
    has_workers: bool = False,
    stops_on_failure: bool = False,
) -> str:
    """The batch script of one array job: each of its tasks executes one run of a sweep, or has one or more workers.

    Whatever may hold any character is quoted for the shell. No path stands in an #SBATCH line, because SLURM expands
    % and backslashes there; a run is named to its task by an index and never by its overrides.

    Args:
        job_name: What squeue shows; characters that are unusual in a name become underscores.
        task_command: Command and arguments of every task, a container's included, to which
            `--sweep SWEEP_FOLDER --index INDEX` is added, or `--place NAME/NUMBER/COUNT SWEEP_FOLDER` for workers. Its
            exit code keeps the contract of `requeue.sh`; of several workers, one that is to come back decides.
        sweep_folder: Absolute path of the sweep's folder, where each task appends to `logs/INDEX.log`.
        script_path: Absolute path where this text will lie: what a cluster that refuses to requeue is given again.
        working_folder: Absolute path of the folder in which the tasks run.
        array: The runs; with workers, ids from 0 of array tasks that have the profile's `workers_per_task` each.
        parallelism: How many of them may run at the same time; None for as many as the cluster gives.
        profile: Resources and set-up.
        image_digest: Of the image that the profile's container must still have when a task starts; None for any.
        has_workers: Whether the tasks have workers: each executes one unfinished run after the other.
        stops_on_failure: Whether a task that fails cancels all others of the sweep, which save.

    Returns:
        The script.

    Raises:
        ValueError: If a path is not absolute, or there is nothing to run.
    """
    for name, path in (
        ("sweep_folder", sweep_folder),
        ("script_path", script_path),
        ("working_folder", working_folder),
    ):
        if not path.is_absolute():
            raise ValueError(f"`{name}` must be absolute, got {path}")
    if not task_command or not array.task_ids:
        raise ValueError("`task_command` and `array` must not be empty")
    command = worker_command(task_command, profile) if has_workers else f'{shlex.join(task_command)} "${{TASK[@]}}"'
    num_processes = profile.workers_per_task if has_workers else profile.tasks_per_node
    options = {
        "job-name": re.sub(r"[^\w.-]", "_", job_name, flags=re.ASCII) or "simplexity",
        "array": array_expression(array.task_ids, parallelism),
        "output": "/dev/null",
        "requeue": "",
        # Without "B:" it goes to the job steps, which is where the run is.
        "signal": f"USR2@{profile.signal_lead_s}",
        **_resources(profile, num_processes),
    }
    sbatch_lines = [f"#SBATCH --{name}={value}" if value else f"#SBATCH --{name}" for name, value in options.items()]
    return "\n".join(
        [
            "#!/bin/bash",
            *sbatch_lines,
            "",
            _text("requeue.sh"),
            f"readonly SWEEP={shlex.quote(str(sweep_folder))}",
            *(worker_names(script_path.stem, len(array.task_ids), profile) if has_workers else _run_names(array)),
            *([_text("cancel_others.sh")] if stops_on_failure else []),
            f'mkdir -p "$SWEEP/{LOG_FOLDER}" && exec >>"$LOG.log" 2>&1 || exit',
            'rm -f "$LOG.exit"',
            """trap 'echo $? >"$LOG.exit"' EXIT""",
            "",
            "resubmit() {",
            "  local job",
            f'  job=$(submit_from_job --array="$SLURM_ARRAY_TASK_ID" {shlex.quote(str(script_path))}) || return',
            '  echo "$job" >>"$LOG.jobs"',
            '  echo "$job"',
            "}",
            "",
            f"cd {shlex.quote(str(working_folder))} || exit",
            f"export SIMPLEXITY_SUBMISSION={shlex.quote(script_path.stem)}",
            *(_exports(gpu_memory_share(profile.tasks_per_gpu or 1)) if has_workers else []),
            *_set_up(profile),
            *_container_set_up(profile, image_digest, script_path.parent / "programs"),
            f"run_and_requeue {shlex.join(_srun(profile, has_workers=has_workers))} {command}",
            "",
        ]
    )


def _run_names(array: ArraySlice) -> list[str]:
    """The files of the task's run and the last arguments of its command, as variables of the shell."""
    return [
        f"readonly INDEX=$(({array.first_index} + SLURM_ARRAY_TASK_ID))",
        f'readonly LOG="$SWEEP/{LOG_FOLDER}/$INDEX" TASK=(--sweep "$SWEEP" --index "$INDEX")',
    ]


def was_cancelled() -> bool:
    """Whether scancel ended the SLURM job of this process, as the batch scripts judge it; False outside SLURM."""
    if "SLURM_JOB_ID" not in os.environ:
        return False
    asks = 'was_cancelled "$(undisturbed scontrol --oneliner show job "$(job_name_for_slurm)")"'
    return subprocess.run(["bash", "-c", f"{_text('requeue.sh')}\n{asks}"], check=False).returncode == 0


def _resources(profile: ClusterProfile, tasks_per_node: int) -> dict[str, str]:
    wanted = {
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "gres": profile.gres,
        "gpus-per-node": profile.gpus_per_node,
        "nodes": profile.nodes,
        "ntasks-per-node": tasks_per_node,
        "cpus-per-task": profile.cpus_per_task,
        "mem": profile.memory,
        "time": profile.time_limit_minutes,
        **profile.sbatch_options,
    }
    return {name: str(value) for name, value in wanted.items() if value is not None}


def _set_up(profile: ClusterProfile) -> list[str]:
    variables = {
        "PYTHONUNBUFFERED": "1",
        "SIMPLEXITY_TIME_LIMIT_S": str(60 * profile.time_limit_minutes),
        "SIMPLEXITY_SIGNAL_LEAD_S": str(profile.signal_lead_s),
        **profile.environment,
    }
    if profile.cache_folder is not None:
        variables["SIMPLEXITY_CACHE"] = profile.cache_folder
    if profile.scratch_folder is not None:
        variables["TMPDIR"] = profile.scratch_folder
    lines = _exports(variables)
    if profile.scratch_folder is not None:
        lines.append('mkdir -p "$TMPDIR" || exit')
    return [*lines, *profile.setup]


def _container_set_up(profile: ClusterProfile, image_digest: str | None, programs: Path) -> list[str]:
    """What makes a task end in one line where its container could not be started, or is another than was submitted."""
    container = profile.container
    if container is None:
        return []
    folders = profile_folders(profile)
    made = [f"mkdir -p {shlex.join(folders)} || exit"] if folders else []
    words = [container.runtime, container.image, image_digest or "", *container.binds]
    return [
        _text("image.sh"),
        'die() { report "$*" && exit 2; }',
        *_exports(container_exports(container)),
        *made,
        f"require_container {shlex.join(words)}",
        f"shield_mount {shlex.quote(str(programs))}",
    ]


def _exports(variables: Mapping[str, str]) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def _text(name: str) -> str:
    return resources.files("simplexity.cluster").joinpath(name).read_text(encoding="utf-8")


def _srun(profile: ClusterProfile, *, has_workers: bool) -> list[str]:
    # srun does not inherit --cpus-per-task from sbatch since SLURM 22.05. JAX needs no MPI. A job that was submitted
    # with `export: NONE` would hand none of the variables that are set here to its steps.
    srun = ["srun", "--mpi=none", "--export=ALL", f"--cpus-per-task={profile.cpus_per_task}"]
    if profile.num_processes > 1:
        # A site's KillOnBadExit=1 would kill the process that saves as soon as another exited with 85.
        srun += ["--kill-on-bad-exit=0", f"--wait={_LAST_PROCESS_S}"]
    if has_workers and profile.workers_per_task > 1:
        # A worker ends while others still execute the last runs.
        srun += ["--kill-on-bad-exit=0", "--wait=0"]
    return srun
