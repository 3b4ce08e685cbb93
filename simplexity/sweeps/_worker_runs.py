"""How a worker executes the runs that it claims: one at a time, or several together, each recorded at begin and end."""

import itertools
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, ExitCode, RunLock, UnreadableError, read_ledger, retry_read, thread_job

from ._directory import SweepDirectory
from ._launch_settings import stops_on_failure
from ._manifest import Manifest, SweepRun, common_overrides
from ._queue import Claim, RunQueue, record_failure
from ._run_files import last_printed
from ._run_threads import RunThreads
from ._text import describe, display_path
from ._thread_output import output_by_thread, thread_prints_to
from ._worker_output import WorkerOutput
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


class WorkerRuns:
    """Executes the runs that a worker claims, one after the other or several at a time, and says what became of them.

    Args:
        sweep: The sweep.
        manifest: Its manifest.
        guard: Installed; says whether a stop was requested.
        executor: Executes a run.
        output: Where the worker prints.
        record: Gets the begin and the end of each run; None for a worker that was started by hand.
        names: The name of each run's last submission.

    Attributes:
        is_together: Whether several runs are executed at this moment.
        failed: The runs that have failed here.
        has_postponed: Whether there was a run that this process cannot take.
    """

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
            if ended not in (ExitCode.COMPLETE, ExitCode.REQUEUE):
                # What the run has printed names the file that cannot be read; the other runs can perhaps.
                with suppress(UnreadableError):
                    if self.is_together and not retry_read(lock.still_held):
                        # It is another's, and its files are no concern of this process any more.
                        ended = ExitCode.REQUEUE
                    else:
                        self._record_failure(run, lock, ended)
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

    def _record_failure(self, run: SweepRun, lock: RunLock, exit_code: int) -> None:
        """Records that a run has failed, unless it has done so itself: it may have ended before its ledger was open."""
        directory = self._sweep.run_directory(run)
        events = retry_read(lambda: read_ledger(directory.ledger_path))
        if not events or events[-1].kind != EventKind.FAILED:
            words = last_printed(self._sweep.log_path(run.index))
            reason = f"it ended with exit code {exit_code}" + (f": {words}" if words else "")
            record_failure(directory, lock, self._names.get(run.index), reason)


def _end_text(exit_code: int, log: Path) -> str:
    ends = {ExitCode.COMPLETE: "complete", ExitCode.REQUEUE: "stopped"}
    return ends[ExitCode(exit_code)] if exit_code in ends else f"failed: {last_printed(log)}"
