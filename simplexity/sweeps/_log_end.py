"""Whether more will be printed to a run's log: whether the run has ended for good, or something starts it again."""

import shlex
from typing import NamedTuple

from simplexity.cluster import slurm_is_installed
from simplexity.runs import EventKind, RunDirectory, SlurmIds, is_alive, read_ledger

from ._directory import SweepDirectory
from ._manifest import SweepRun
from ._run_files import read_files
from ._run_status import ACTIVE_STATES, UNFINISHED_STATES, RunState
from ._scheduler_state import job_name, job_state
from ._sweep_status import read_status_of
from ._text import display_path, printable

# If SLURM does not answer, a run in one of these may have been started again: by `simplexity retry`, if it has failed.
_MAY_WAIT = UNFINISHED_STATES | {RunState.FAILED}
# How a job ends that is neither requeued nor submitted again, and what its run is then.
_LAST_ENDS = {"CANCELLED": "cancelled", "COMPLETED": "stopped"}


class LogEnd(NamedTuple):
    """Whether more will be printed to a log.

    Attributes:
        has_come: Whether the run is complete, or nothing starts it again by itself.
        words: In what state the run is, if no process has it now; empty if one has, or is about to end.
    """

    has_come: bool
    words: str


_PRINTING = LogEnd(False, "")


def log_end(directory: RunDirectory, place: tuple[SweepDirectory, SweepRun] | None) -> LogEnd:
    """Whether a run has ended. Nothing is asked while a process has it: its final loss is printed after it is complete.

    Args:
        directory: The run's.
        place: The sweep that it belongs to, and which of its runs it is; None for a run that belongs to none.

    Raises:
        OSError: If a file cannot be read.
        RuntimeError: If one is corrupt, or cannot be read.
    """
    if is_alive(directory.lock_path):
        return _PRINTING
    end = _end_of_run(directory) if place is None else _end_in_sweep(*place)
    # To ask SLURM takes a while, in which it may have begun.
    return _PRINTING if is_alive(directory.lock_path) else end


def _end_in_sweep(sweep: SweepDirectory, run: SweepRun) -> LogEnd:
    status = read_status_of(sweep, run.index)
    (one,) = status.runs
    if one.state in ACTIVE_STATES:
        return LogEnd(False, "" if one.state == RunState.RUNNING else one.state.value)
    if one.state == RunState.UNREADABLE:
        # Raises what the status keeps as words: a file server may answer again, and what is corrupt stays so.
        read_files(sweep, run)
        return _PRINTING  # it can be read again
    words = printable(f"{one.state}: {one.reason}" if one.reason else one.state.value)
    if status.remark and one.state in _MAY_WAIT:
        return _unanswered(words if one.state == RunState.FAILED else "not running", status.remark)
    if one.state in UNFINISHED_STATES:
        words = f"{words}; to start it again: simplexity retry {shlex.quote(display_path(sweep.path))}"
    return LogEnd(True, words)


def _end_of_run(directory: RunDirectory) -> LogEnd:
    """Of a run that belongs to no sweep, and that no process has."""
    if directory.read_completion() is not None:
        return LogEnd(True, "complete")
    again = f"to start it again: simplexity resume {shlex.quote(display_path(directory.path))}"
    event = next(reversed(read_ledger(directory.ledger_path)), None)
    failure = printable(f"failed: {event.reason}") if event is not None and event.kind == EventKind.FAILED else ""
    if event is not None and failure and not event.comes_back:
        return LogEnd(True, failure)
    if event is not None and event.slurm is not None:
        return _end_of_job(event.slurm, failure, again)
    return LogEnd(True, f"stopped; {again}")


def _end_of_job(job: SlurmIds, failure: str, again: str) -> LogEnd:
    """Of a run that a job has executed, and will execute again if SLURM starts it again.

    Where SLURM refuses to requeue, a batch script submits another job in the place of one that has ended. Only one that
    was cancelled, or has ended without an error, has none.
    """
    state, problem = job_state(job)
    if problem:
        return _unanswered(failure or "not running", problem)
    if state.executing:
        # It is starting, or the job does something else, as an interactive one does after Ctrl-C.
        return LogEnd(False, f"not running: its job runs, but no process has the run; unless one starts now, {again}")
    if state.coming:
        return LogEnd(False, "waiting for the next start of its job" if state.waiting else "")
    if state.end in _LAST_ENDS:
        return LogEnd(True, f"{_LAST_ENDS[state.end]}; {again}")
    ended = state.words or f"job {job_name(job)} has ended: {state.end}"
    return LogEnd(False, printable(f"not running: {ended}; unless another job is submitted in its place, {again}"))


def _unanswered(words: str, problem: str) -> LogEnd:
    """Of a run that SLURM may have started again. It will not answer later where its programs are not installed."""
    unknown = f"SLURM does not answer whether it was started again: {printable(problem)}"
    return LogEnd(not slurm_is_installed(), f"{words}; {unknown}")
