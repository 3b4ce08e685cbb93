"""A worker of a sweep: one process that executes unfinished runs, one or several at a time, until none is left."""

import itertools
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, ExitCode, RunLock, read_ledger, retry_read, thread_job

from ._cancel import stop_others
from ._directory import SweepDirectory
from ._launch_settings import stops_on_failure
from ._live_workers import BY_HAND, registered
from ._manifest import Manifest, SweepRun, common_overrides
from ._queue import Claim, RunQueue, record_failure, walk_from
from ._run_files import last_printed
from ._run_threads import RunThreads
from ._stop_requests import obey_stop_requests
from ._text import describe, display_path
from ._thread_output import output_by_thread, thread_prints_to
from ._worker_output import WorkerOutput
from ._worker_place import WorkerPlace, runs_of_worker
from ._worker_record import WorkerRecord

_POLL_S = 0.1


@runtime_checkable
class Executor(Protocol):
    """Executes runs in this process."""

    def can_take(self, run: SweepRun) -> bool:
        """Whether this process can execute the run. One that has executed others may not: see `renew`."""
        ...

    def num_at_once(self, run: SweepRun) -> int:
        """How many runs this process executes at a time, which has taken this one as its first."""
        ...

    def together(self) -> AbstractContextManager[object]:
        """Within the `with` block, `execute` may be called by several threads, each with a run of its own."""
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
    place: WorkerPlace | None = None,
    make_lock: Callable[[Path, Callable[[], None]], RunLock] = lambda path, on_lost: RunLock(path, on_lost=on_lost),
) -> ExitCode:
    """Executes runs of a sweep until no unfinished run is left that is free, or a stop is requested.

    A run that fails does not end the worker, unless the sweep was launched with `on_failure=stop`. A run that is
    stopped by a request of `guard` is the first that the next process of the same place executes. If another process
    takes over the run that this one executes (because this one was frozen), the worker begins anew as a fresh process:
    nothing that this one still computes must be written.

    Args:
        sweep: The sweep.
        guard: Installed; says whether a stop was requested.
        executor: Executes a run.
        place: Which of a submission's workers this is; None for one that was started by hand, which executes the runs
            of all submissions.
        make_lock: Makes the lock of a run's folder, from the lock's path and what to call when it is lost.

    Returns:
        COMPLETE if no run has failed here, FAILED if one has or cannot be read, REQUEUE if a stop was requested.

    Raises:
        ValueError: If there is no such submission.
        RuntimeError: If the manifest cannot be read.
    """
    manifest = sweep.read_manifest()
    names, runs = runs_of_worker(sweep, manifest, place, guard)
    # An array task is cancelled by SLURM, which also knows whether it is alive.
    is_array_task = place is not None and manifest.launch.on_slurm
    output = WorkerOutput()
    with ExitStack() as stack:
        stack.enter_context(output.messages_of(guard))
        registration = None
        if not is_array_task:
            stack.enter_context(obey_stop_requests(sweep, guard))
            registration = stack.enter_context(registered(sweep, BY_HAND if place is None else place.name))

        def begin_anew() -> None:
            """Called in a thread of a run's lock, whatever the process is in the middle of."""
            if work.is_together:
                # A run among several ends by itself where it writes next: each of its files asks for the lock.
                return
            with suppress(OSError):  # whoever would read it may be gone
                os.write(2, b"another process has taken over this run; this worker leaves it and takes the next\n")
            output.put_back()
            if registration is not None:
                registration.release(remove=True)
            try:
                if not guard.requested():
                    executor.renew()
            finally:
                # Whatever happens, this process ends: what has started it starts it again.
                os._exit(ExitCode.REQUEUE)

        number, num_workers = (0, 1) if place is None else (place.number, place.num_workers)
        record = None if place is None else WorkerRecord(sweep.worker_path(place.name))
        interrupted, death = ({}, "") if record is None else (_interrupted_runs(record), record.death)
        if record is not None:
            record.start()
        queue = RunQueue(
            sweep,
            walk_from(runs, number, num_workers),
            names,
            lambda directory: make_lock(directory.lock_path, begin_anew),
            guard.wait,
            interrupted,
            death,
        )
        work = _Work(sweep, manifest, guard, executor, output, record, names)
        work.execute_all(queue)
    if work.failed and stops_on_failure(manifest.launch):
        stop_others(sweep, work.failed[0], as_array_task=is_array_task)
        return ExitCode.FAILED
    if guard.requested():
        if place is None:
            output.print_line(f"stopped; to continue: simplexity work {shlex.quote(display_path(sweep.path))}")
        return ExitCode.REQUEUE
    if work.has_postponed:
        executor.renew()
    return ExitCode.FAILED if work.failed or queue.has_passed_over else ExitCode.COMPLETE


class _Work:
    """The runs that one call of `drain` executes, whose arguments it has."""

    def __init__(
        self, sweep: SweepDirectory, manifest: Manifest, guard: PreemptionGuard, executor: Executor,
        output: WorkerOutput, record: WorkerRecord | None, names: dict[int, str],
    ):  # fmt: skip
        self._sweep = sweep
        self._guard = guard
        self._executor = executor
        self._output = output
        self._record = record
        self._names = names
        self._common = common_overrides(manifest.runs)
        self._stops_on_failure = stops_on_failure(manifest.launch)
        self._has_begun = False
        self.is_together = False
        self.failed: list[SweepRun] = []
        self.has_postponed = False

    def execute_all(self, queue: RunQueue) -> None:
        """Executes runs as long as there are any, and neither a signal nor a failure ends that."""
        claims = self._claims(queue)
        if (first := next(claims, None)) is not None:
            claims = itertools.chain([first], claims)
            if (most := self._executor.num_at_once(first.run)) > 1:
                self._execute_together(queue, claims, most)
                claims = self._claims(queue)
        for run, lock in claims:
            self._announce(run)
            self._end(queue, run, self._execute(run, lock))
            if self._is_to_end():
                break
        self.failed += queue.take_given_up()
        has_looked = self._has_begun or self.failed or self.has_postponed or queue.has_passed_over
        if not (has_looked or self._guard.requested()):
            self._output.print_line(
                "nothing to execute: each run is complete, has failed, or is being executed by another worker"
            )

    def _claims(self, queue: RunQueue) -> Iterator[Claim]:
        """Claims runs that this process can take, until it is to end."""
        for claim in queue.claims():
            self.failed += queue.take_given_up()
            if self._is_to_end():
                claim.lock.release()
                return
            if self._executor.can_take(claim.run):
                yield claim
            else:
                claim.lock.release()
                self.has_postponed = True

    def _execute_together(self, queue: RunQueue, claims: Iterator[Claim], most: int) -> None:
        """Executes up to `most` runs at a time, until only those are left that are to be alone.

        Those are put back: in their last starts the worker has died, and they would end the others again.
        """
        self.is_together, kept_back = True, []
        threads = RunThreads(self._execute)
        self._guard.resume_command = f"simplexity work {shlex.quote(display_path(self._sweep.path))}"
        # First the output: what is logged is printed to it.
        with output_by_thread(), self._executor.together():
            while True:
                while threads.num_running < most and (claim := next(claims, None)) is not None:
                    if queue.is_suspect(claim.run):
                        claim.lock.release()
                        kept_back.append(claim.run)
                        continue
                    self._announce(claim.run)
                    threads.start(*claim)
                if not threads.num_running:
                    break
                # The main thread, which sees the signals, comes by.
                if (ended := threads.next_ended(_POLL_S)) is not None:
                    self._end(queue, *ended)
                    if self._is_to_end():
                        # The others save.
                        self._guard.request("the failure of another run")
                    claims = self._claims(queue)
        self.is_together = False
        for run in kept_back:
            queue.put_back(run)

    def _announce(self, run: SweepRun) -> None:
        log = display_path(self._sweep.log_path(run.index))
        self._output.print_line(f"{self._name(run)}: started; what it prints goes to {log}")

    def _end(self, queue: RunQueue, run: SweepRun, exit_code: int) -> None:
        """The one place where the end of a run is looked at."""
        self._output.print_line(f"{self._name(run)}: {_end_text(exit_code, self._sweep.log_path(run.index))}")
        if exit_code == ExitCode.REQUEUE and not self._guard.requested():
            queue.put_back(run)
        elif exit_code not in (ExitCode.COMPLETE, ExitCode.REQUEUE):
            self.failed.append(run)

    def _name(self, run: SweepRun) -> str:
        return f"#{run.index} {describe(run.overrides, self._common)}"

    def _is_to_end(self) -> bool:
        return self._guard.requested() or (self._stops_on_failure and bool(self.failed))

    def _execute(self, run: SweepRun, lock: RunLock) -> int:
        log = self._sweep.log_path(run.index)
        submission = self._names.get(run.index)
        try:
            if self._record is not None:
                self._record.begin(run.index)
            output = thread_prints_to(log) if self.is_together else self._output.redirected_to(log)
            job = thread_job(submission, starts_now=self._has_begun)
            self._has_begun = True
            with job, output:
                ended = self._executor.execute(run, lock)
            if ended in (ExitCode.COMPLETE, ExitCode.REQUEUE):
                pass
            elif self.is_together and not lock.still_held():
                # It is another's, and its files are no concern of this process any more.
                ended = ExitCode.REQUEUE
            else:
                directory = self._sweep.run_directory(run)
                events = retry_read(lambda: read_ledger(directory.ledger_path))
                if not events or events[-1].kind != EventKind.FAILED:
                    # It ended before its ledger was open.
                    words = last_printed(log)
                    reason = f"it ended with exit code {ended}" + (f": {words}" if words else "")
                    record_failure(directory, lock, submission, reason)
        except BaseException as error:
            # Its log could not be opened, for instance, and no start of the run counts that: if it looked interrupted,
            # this worker would be started again without end. It is, by `exit` in a library, which ends a whole process.
            if self._record is not None and (self.is_together or isinstance(error, Exception)):
                with suppress(OSError):
                    self._record.end(run.index, ExitCode.FAILED)
            raise
        finally:
            lock.release()
        if self._record is not None:
            self._record.end(run.index, ended)
        return ended


def _end_text(exit_code: int, log: Path) -> str:
    ends = {ExitCode.COMPLETE: "complete", ExitCode.REQUEUE: "stopped"}
    return ends[ExitCode(exit_code)] if exit_code in ends else f"failed: {last_printed(log)}"


def _interrupted_runs(record: WorkerRecord) -> dict[int, int]:
    """The runs that earlier processes of this worker have begun and not ended, and how many have died in each."""
    interrupted: dict[int, int] = {}
    for index, exit_code in record.read_new():
        if exit_code is None:
            interrupted[index] = interrupted.get(index, 0) + 1
        elif exit_code == ExitCode.REQUEUE:
            interrupted[index] = interrupted.get(index, 1) - 1
        else:
            interrupted.pop(index, None)
    return interrupted
