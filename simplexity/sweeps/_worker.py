"""A worker of a sweep: one process that executes one unfinished run after the other, until none is left."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, ExitCode, RunDirectory, RunLock, read_ledger

from ._directory import SweepDirectory
from ._manifest import Manifest, SweepRun, common_overrides, submission_name, submission_names
from ._queue import Claim, RunQueue, record_failure, walk_from
from ._run_files import last_printed
from ._text import describe, display_path
from ._worker_record import WorkerRecord

_RECORDED_WAIT_S = 60.0


class WorkerPlace(NamedTuple):
    """Which of a submission's workers a process is.

    Attributes:
        submission: Name of the submission whose runs it executes, such as "array_0".
        number: Its number, from 0.
        num_workers: How many the submission has.
    """

    submission: str
    number: int
    num_workers: int

    @property
    def name(self) -> str:
        """Names its record and its log."""
        return f"{self.submission}_{self.number}"

    def __str__(self) -> str:
        return f"{self.submission}/{self.number}/{self.num_workers}"

    @classmethod
    def parse(cls, text: str) -> "WorkerPlace":
        """The place that `str` wrote.

        Raises:
            ValueError: If it is none.
        """
        submission, _, numbers = text.partition("/")
        number, _, num_workers = numbers.partition("/")
        if not (submission and number.isdecimal() and num_workers.isdecimal() and int(num_workers) > 0):
            raise ValueError(f"`--place` must be as in array_0/3/12, got {text!r}")
        return cls(submission, int(number), int(num_workers))


@runtime_checkable
class Executor(Protocol):
    """Executes runs in this process."""

    def can_take(self, run: SweepRun) -> bool:
        """Whether this process can execute the run. One that has executed others may not: see `renew`."""
        ...

    def execute(self, run: SweepRun, lock: RunLock) -> int:
        """Executes a run whose lock this process holds; returns the exit code of `simplexity resume`."""
        ...

    def renew(self) -> None:
        """Begins this worker anew as a fresh process, which can take any run; returns only if it cannot."""
        ...


def drain(
    sweep: SweepDirectory,
    guard: PreemptionGuard,
    executor: Executor,
    make_lock: Callable[[RunDirectory], RunLock],
    place: WorkerPlace | None = None,
) -> ExitCode:
    """Executes runs of a sweep until no unfinished run is left that is free, or a stop is requested.

    A run that fails does not end the worker. A run that is stopped by a request of `guard` is the first that the next
    process of the same place executes.

    Args:
        sweep: The sweep.
        guard: Installed; says whether a stop was requested.
        executor: Executes a run.
        make_lock: Makes the lock of a run's folder.
        place: Which of a submission's workers this is; None for one that was started by hand, which executes the runs
            of all submissions.

    Returns:
        COMPLETE if no run has failed here, FAILED if one has, REQUEUE if a stop was requested.

    Raises:
        ValueError: If there is no such submission.
        RuntimeError: If the manifest cannot be read.
    """
    manifest = sweep.read_manifest()
    names, runs = _runs_of(sweep, manifest, place, guard)
    common = common_overrides(manifest.runs)
    record = None if place is None else WorkerRecord(sweep.worker_path(place.name))
    interrupted, death = (None, "") if record is None else (_interrupted_run(record), record.death)
    number, num_workers = (0, 1) if place is None else (place.number, place.num_workers)
    queue = RunQueue(sweep, walk_from(runs, number, num_workers), names, make_lock, interrupted, death)
    code, postponed, is_first = ExitCode.COMPLETE, False, True
    for claim in queue.claims():
        if guard.requested():
            claim.lock.release()
            break
        if not executor.can_take(claim.run):
            claim.lock.release()
            postponed = True
            continue
        name, log = f"#{claim.run.index} {describe(claim.run.overrides, common)}", sweep.log_path(claim.run.index)
        print(f"{name}: started; what it prints goes to {display_path(log)}", flush=True)
        ended = _execute(sweep, claim, executor, record, names, starts_now=not is_first)
        is_first = False
        print(f"{name}: {_end_text(ended, log)}", flush=True)
        if ended == ExitCode.REQUEUE and not guard.requested():
            queue.put_back(claim.run)
        elif ended not in (ExitCode.COMPLETE, ExitCode.REQUEUE):
            code = ExitCode.FAILED
    if guard.requested():
        return ExitCode.REQUEUE
    if postponed:
        executor.renew()
    if is_first:
        print(
            "nothing to execute: each run is complete, has failed, or is being executed by another worker", flush=True
        )
    return code


@contextmanager
def printing_to(path: Path) -> Iterator[None]:
    """What this process prints within the `with` block, and the libraries in it, is appended to a file.

    The descriptors are redirected, and not Python's streams alone: XLA writes to them directly.
    """
    path.parent.mkdir(exist_ok=True)
    _flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
    try:
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        yield
    finally:
        _flush()
        for descriptor, former in zip((1, 2), kept, strict=True):
            os.dup2(former, descriptor)
            os.close(former)
        os.close(file)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _execute(
    sweep: SweepDirectory,
    claim: Claim,
    executor: Executor,
    record: WorkerRecord | None,
    names: dict[int, str],
    *,
    starts_now: bool,
) -> int:
    run, lock = claim
    if record is not None:
        record.begin(run.index)
    try:
        _set_job(names.get(run.index), starts_now=starts_now)
        directory, log = sweep.run_directory(run), sweep.log_path(run.index)
        with printing_to(log):
            ended = executor.execute(run, lock)
        if ended not in (ExitCode.COMPLETE, ExitCode.REQUEUE):
            events = read_ledger(directory.ledger_path)
            if not events or events[-1].kind != EventKind.FAILED:
                # It ended before its ledger was open.
                words = last_printed(log)
                reason = f"it ended with exit code {ended}" + (f": {words}" if words else "")
                record_failure(directory, lock, names.get(run.index), reason)
    finally:
        lock.release()
    if record is not None:
        record.end(run.index, ended)
    return ended


def _runs_of(
    sweep: SweepDirectory, manifest: Manifest, place: WorkerPlace | None, guard: PreemptionGuard
) -> tuple[dict[int, str], list[SweepRun]]:
    """The name of each run's last submission, and the runs that the worker may execute."""
    if place is None:
        return submission_names(sweep.read_submissions()), list(manifest.runs)
    waited_s = 0.0
    while True:
        submissions = sweep.read_submissions()
        if any(submission_name(*numbered) == place.submission for numbered in enumerate(submissions)):
            break
        # A job may begin before the process that has submitted it has written that down.
        if waited_s >= _RECORDED_WAIT_S or guard.wait(0.5):
            raise ValueError(f"the sweep {sweep.path} has no submission {place.submission}")
        waited_s += 0.5
    names = submission_names(submissions)
    return names, [run for run in manifest.runs if names.get(run.index) == place.submission]


def _end_text(exit_code: int, log: Path) -> str:
    ends = {ExitCode.COMPLETE: "complete", ExitCode.REQUEUE: "stopped"}
    return ends[ExitCode(exit_code)] if exit_code in ends else f"failed: {last_printed(log)}"


def _interrupted_run(record: WorkerRecord) -> int | None:
    """The run that an earlier process of this worker has begun and not brought to its end."""
    last = None
    for index, exit_code in record.read_new():
        last = index if exit_code in (None, ExitCode.REQUEUE) else None
    return last


def _set_job(submission: str | None, *, starts_now: bool) -> None:
    """What the run knows of its job: see `simplexity.runs.Job`.

    Args:
        submission: Name of the run's last submission; None if it has none.
        starts_now: Whether the run's time begins now. A run that begins late in its worker's time, and is stopped by
            the time limit, has not used the whole time in vain.
    """
    os.environ.pop("SIMPLEXITY_SUBMISSION", None)
    if submission is not None:
        os.environ["SIMPLEXITY_SUBMISSION"] = submission
    if starts_now:
        os.environ["SIMPLEXITY_JOB_START"] = str(time.time())
