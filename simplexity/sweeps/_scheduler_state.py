"""The scheduler's state of a sweep's runs: SLURM's queue, and its accounting where there is one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from simplexity.cluster import SlurmError, accounted_tasks, queued_tasks

from ._directory import SweepDirectory
from ._manifest import Submission, submission_names
from ._run_files import RunFiles

# States after which a job does not come back; in any other it runs or will run.
_ENDED = frozenset(
    {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE", "OUT_OF_MEMORY",
     "REVOKED", "SPECIAL_EXIT"}
)  # fmt: skip
_WAITING = frozenset({"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD"})
_EXECUTING = frozenset({"RUNNING", "CONFIGURING"})


class SchedulerState(NamedTuple):
    """What the scheduler of a run, SLURM or the process that executes the sweep on its machine, says of it.

    Attributes:
        coming: Whether it executes the run or is going to; None if it does not answer.
        executing: Whether it says that the run has a machine now.
        waiting: Whether it says that the run waits for one, whatever has happened before.
        node: That machine; empty if unknown.
        end: SLURM's word for how the last job ended, such as FAILED or CANCELLED; empty if unknown.
        submission: Name of the last submission; a failure of an earlier one was answered by it. None if unknown.
    """

    coming: bool | None
    executing: bool = False
    waiting: bool = False
    node: str = ""
    end: str = ""
    submission: str | None = None


def slurm_states(
    sweep: SweepDirectory, submissions: Sequence[Submission], unfinished: Mapping[int, RunFiles]
) -> tuple[dict[int, SchedulerState], str]:
    """Asks SLURM about the runs that are not complete.

    Args:
        sweep: The sweep.
        submissions: All of its submissions.
        unfinished: What the files say of these runs, by index.

    Returns:
        The state of each run, and one line on why SLURM did not answer, empty if it did.
    """
    tasks = {index: _tasks(sweep, submissions, index, files) for index, files in unfinished.items()}
    last = submission_names(submissions)
    jobs = sorted({task.partition("_")[0] for names in tasks.values() for task in names})
    try:
        queue = queued_tasks(jobs)
    except SlurmError as error:
        return {index: SchedulerState(None, submission=last.get(index)) for index in unfinished}, str(error)
    states: dict[int, SchedulerState] = {}
    forgotten: list[int] = []
    for index, names in tasks.items():
        # Tasks that were cancelled before they began are one record, under the array's own id.
        known = [queue.get(name) or queue.get(name.partition("_")[0]) for name in names]
        alive = [task for task in known if task is not None and task.state not in _ENDED]
        if alive:
            executing = alive[-1].state in _EXECUTING
            node = alive[-1].nodes if executing else ""
            waiting = alive[-1].state in _WAITING
            states[index] = SchedulerState(True, executing, waiting, node, submission=last.get(index))
        elif known and known[-1] is not None:
            states[index] = SchedulerState(False, end=known[-1].state, submission=last.get(index))
        else:
            forgotten.append(index)
    if forgotten:
        ends = _accounted_ends({index: tasks[index] for index in forgotten})
        for index in forgotten:
            states[index] = SchedulerState(False, end=ends.get(index, ""), submission=last.get(index))
    return states, ""


def slurm_tasks(
    sweep: SweepDirectory, submissions: Sequence[Submission], unfinished: Mapping[int, RunFiles]
) -> list[str]:
    """The array tasks under which SLURM may know the runs, for scancel."""
    return sorted({task for index, files in unfinished.items() for task in _tasks(sweep, submissions, index, files)})


def _tasks(sweep: SweepDirectory, submissions: Sequence[Submission], index: int, files: RunFiles) -> list[str]:
    """Every array task that was to execute the run, the latest last: "JOB_TASK"."""
    tasks = [task for submission in submissions if index in submission.indices if (task := submission.task(index))]
    event = files.summary.last_event
    if event is not None and event.slurm is not None and event.slurm.array_job_id is not None:
        tasks.append(f"{event.slurm.array_job_id}_{event.slurm.array_task_id}")
    if tasks:
        number = tasks[-1].partition("_")[2]
        tasks += [f"{job}_{number}" for job in _resubmissions(sweep, index)]
    # Job ids grow, so that the highest is the latest.
    return sorted(set(tasks), key=lambda task: int(task.partition("_")[0]))


def _resubmissions(sweep: SweepDirectory, index: int) -> list[str]:
    """The jobs of a run where SLURM refuses to requeue; sbatch says "JOB;CLUSTER" where there are several clusters."""
    try:
        lines = sweep.resubmissions_path(index).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line.partition(";")[0] for line in lines]


def _accounted_ends(tasks: Mapping[int, list[str]]) -> dict[int, str]:
    jobs = sorted({task.partition("_")[0] for names in tasks.values() for task in names})
    try:
        accounted = accounted_tasks(jobs)
    except SlurmError:
        # Many clusters have no accounting; the files then have the last word.
        return {}
    latest = {
        index: next((name for name in reversed(names) if name in accounted), "") for index, names in tasks.items()
    }
    return {index: accounted[name].state for index, name in latest.items() if name}
