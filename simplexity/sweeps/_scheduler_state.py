"""The scheduler's state of a sweep's runs: SLURM's queue, and its accounting where there is one."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from simplexity.cluster import LOG_FOLDER, QueuedTask, SlurmError, accounted_tasks, queued_tasks
from simplexity.runs import ExitCode, SlurmIds

from ._directory import SweepDirectory
from ._manifest import Submission, submission_name, submission_names
from ._run_files import RunFiles, exit_code, has_failed, last_printed

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
        words: Why the last submission does not execute the run, where that is not in the run's own log.
    """

    coming: bool | None
    executing: bool = False
    waiting: bool = False
    node: str = ""
    end: str = ""
    submission: str | None = None
    words: str = ""


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
    last = submission_names(submissions)
    groups = _worker_groups(sweep, submissions, unfinished)
    tasks = {
        index: _tasks(sweep, submissions, index, files)
        for index, files in unfinished.items()
        if last.get(index) not in groups
    }
    jobs = sorted({task.partition("_")[0] for names in (*tasks.values(), *groups.values()) for task in names})
    try:
        queue = queued_tasks(jobs)
    except SlurmError as error:
        return {index: SchedulerState(None, submission=last.get(index)) for index in unfinished}, str(error)
    group_states = {name: _group_state(sweep, name, names, queue) for name, names in groups.items()}
    states = {
        index: _of_one_run(group_states[last[index]], files)
        for index, files in unfinished.items()
        if last.get(index) in groups
    }
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
        elif _was_resubmitted_since(sweep, [str(index)], names):
            states[index] = SchedulerState(True, waiting=True, submission=last.get(index))
        elif known and known[-1] is not None:
            states[index] = SchedulerState(False, end=known[-1].state, submission=last.get(index))
        else:
            forgotten.append(index)
    if forgotten:
        ends, problem = _accounted_ends({index: tasks[index] for index in forgotten})
        for index in forgotten:
            end, words = ends.get(index, ""), ""
            if not tasks[index]:
                # One that has begun was started by hand.
                words = "it was never submitted" if unfinished[index].summary.last_event is None else ""
            elif not end and not last_printed(sweep.log_path(index)):
                words = _unknown_end(f"its job {tasks[index][-1]}", problem)
            states[index] = SchedulerState(False, end=end, submission=last.get(index), words=words)
    return states, ""


def job_state(job: SlurmIds) -> tuple[SchedulerState, str]:
    """What SLURM says of the job of a run that belongs to no sweep, and why it did not answer, empty if it did.

    Args:
        job: The job of the run's last event. Another may have been submitted in its place, which SLURM does not say.
    """
    name = job_name(job)
    try:
        queue = queued_tasks([name.partition("_")[0]])
    except SlurmError as error:
        return SchedulerState(None), str(error)
    task = queue.get(name) or queue.get(name.partition("_")[0])
    if task is None:
        ends, problem = _accounted_ends({0: [name]})
        return SchedulerState(
            False, end=ends.get(0, ""), words="" if ends else _unknown_end(f"job {name}", problem)
        ), ""
    if task.state in _ENDED:
        return SchedulerState(False, end=task.state), ""
    return SchedulerState(True, task.state in _EXECUTING, task.state in _WAITING), ""


def job_name(job: SlurmIds) -> str:
    """SLURM's name of a job, "JOB", or of an array task, "JOB_TASK"."""
    return job.job_id if job.array_job_id is None else f"{job.array_job_id}_{job.array_task_id}"


def slurm_tasks(
    sweep: SweepDirectory, submissions: Sequence[Submission], unfinished: Mapping[int, RunFiles]
) -> list[str]:
    """The array tasks under which SLURM may know the runs, for scancel."""
    groups = _worker_groups(sweep, submissions, unfinished)
    last = submission_names(submissions)
    others = (
        _tasks(sweep, submissions, index, files) for index, files in unfinished.items() if last.get(index) not in groups
    )
    return sorted({task for tasks in (*others, *groups.values()) for task in tasks})


def _worker_groups(
    sweep: SweepDirectory, submissions: Sequence[Submission], indices: Collection[int]
) -> dict[str, list[str]]:
    """The array tasks that have workers, by the name of their submission: "JOB_TASK", the latest last.

    Args:
        sweep: The sweep.
        submissions: All of its submissions.
        indices: Only submissions that are the last of one of these runs.
    """
    last = submission_names(submissions)
    wanted = {last[index] for index in indices if index in last}
    groups: dict[str, list[str]] = {}
    for number, submission in enumerate(submissions):
        name = submission_name(number, submission)
        if submission.num_workers is None or name not in wanted:
            continue
        tasks = submission.tasks(0)
        for worker in range(submission.num_workers):
            tasks += [f"{job}_{worker}" for job in _resubmissions(sweep, f"{name}_{worker}")]
        groups[name] = tasks
    return groups


def _group_state(
    sweep: SweepDirectory, name: str, tasks: Sequence[str], queue: Mapping[str, QueuedTask]
) -> SchedulerState:
    """The state of every run that the workers of a submission execute and have not begun: any may take any run."""
    by_worker: dict[str, list[str]] = {}
    for task in tasks:
        by_worker.setdefault(f"{name}_{task.partition('_')[2]}", []).append(task)
    known = {task: found.state for task in tasks if (found := queue.get(task) or queue.get(task.partition("_")[0]))}
    if set(known.values()) - _ENDED or _was_resubmitted_since(sweep, by_worker, tasks):
        return SchedulerState(True, submission=name)
    # The queue forgets one worker after the other. Where there is no accounting, only its exit code is left, if it had
    # one: SLURM has ended the others, and cancelled ones or those out of time then look like any.
    latest = [worker_tasks[-1] for worker_tasks in by_worker.values()]
    accounted, problem = _accounted_ends({i: [task] for i, task in enumerate(latest) if task not in known})
    ends = {known[task] for task in latest if task in known} | set(accounted.values())
    if "CANCELLED" in ends:
        return SchedulerState(False, end="CANCELLED", submission=name)
    logs = [sweep.worker_log_path(worker) for worker in sorted(by_worker)]
    codes = {log: code for log in logs if (code := exit_code(log.with_suffix(".exit"))) is not None}
    # A worker fails if one of its runs has failed. If all have, and runs were left, none could execute any.
    if "COMPLETED" in ends or ExitCode.COMPLETE in codes.values():
        return SchedulerState(False, submission=name)
    # What a worker printed last that was stopped or killed is about its runs.
    failed = [log for log, code in codes.items() if has_failed(code)]
    said = (f"{words} ({LOG_FOLDER}/{log.name})" for log in failed if (words := last_printed(log)))
    who = f"the workers of its job {tasks[-1]}"
    words = next(said, f"{who} ended: {', '.join(sorted(ends))}" if ends else _unknown_end(who, problem))
    end = "FAILED" if (failed if codes else ends) else ""
    return SchedulerState(False, end=end, submission=name, words=words)


def _of_one_run(state: SchedulerState, files: RunFiles) -> SchedulerState:
    """The state of a run that workers execute: how they have failed says nothing of one that they have begun."""
    if files.summary.last_event is None or files.summary.submission != state.submission:
        return state
    return state._replace(end="" if state.end == "FAILED" else state.end, words="")


def _tasks(sweep: SweepDirectory, submissions: Sequence[Submission], index: int, files: RunFiles) -> list[str]:
    """Every array task that was to execute the run, the latest last: "JOB_TASK"."""
    tasks = [task for submission in submissions if index in submission.indices for task in submission.tasks(index)]
    event = files.summary.last_event
    if event is not None and event.slurm is not None and event.slurm.array_job_id is not None:
        tasks.append(job_name(event.slurm))
    if tasks:
        number = tasks[-1].partition("_")[2]
        tasks += [f"{job}_{number}" for job in _resubmissions(sweep, str(index))]
    # Job ids grow, so that the highest is the latest.
    return sorted(set(tasks), key=lambda task: int(task.partition("_")[0]))


def _resubmissions(sweep: SweepDirectory, name: str) -> list[str]:
    """The jobs of a run or a worker where SLURM refuses to requeue; with several clusters sbatch says "JOB;CLUSTER"."""
    try:
        lines = sweep.resubmissions_path(name).read_text().splitlines()
    except FileNotFoundError:
        return []
    return [line.partition(";")[0] for line in lines]


def _was_resubmitted_since(sweep: SweepDirectory, names: Iterable[str], asked: Sequence[str]) -> bool:
    """Whether a batch script has submitted its task anew since SLURM was asked about these tasks, which have all ended.

    A script writes the new job's id down before it ends, so that what was not there before the question is there now.

    Args:
        sweep: The sweep.
        names: Runs' indices, or workers' names.
        asked: The tasks.
    """
    jobs = {task.partition("_")[0] for task in asked}
    return any(not jobs.issuperset(_resubmissions(sweep, name)) for name in names)


def _accounted_ends(tasks: Mapping[int, list[str]]) -> tuple[dict[int, str], str]:
    """SLURM's words for how the last known task of each list ended, and one line on why there is no answer."""
    jobs = sorted({task.partition("_")[0] for names in tasks.values() for task in names})
    try:
        accounted = accounted_tasks(jobs)
    except SlurmError as error:
        # Many clusters have no accounting; the files then have the last word.
        return {}, str(error)
    latest = {
        index: next((name for name in reversed(names) if name in accounted), "") for index, names in tasks.items()
    }
    return {index: accounted[name].state for index, name in latest.items() if name}, ""


def _unknown_end(what: str, problem: str) -> str:
    return f"it is not known how {what} ended: {problem}" if problem else f"SLURM has forgotten how {what} ended"
