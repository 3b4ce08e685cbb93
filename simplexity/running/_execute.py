"""The body of both programs: from a run directory's frozen config to a trained, validated, saved and finished run."""

import logging
import os
import shlex
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from simplexity.composition import describe_error, freeze, load_frozen
from simplexity.host import PreemptionGuard
from simplexity.runs import (
    EventKind,
    ExitCode,
    Job,
    Ledger,
    RunDirectory,
    RunLock,
    UnreadableError,
    next_start,
    retry_read,
    this_job,
)

from ._outcome import RunResult, record_stop
from ._unreadable import forget_failed_starts, start_once_more

_log = logging.getLogger("simplexity")


def execute(
    run_dir: Path,
    guard: PreemptionGuard,
    new_config: DictConfig | None = None,
    built: Any = None,
    held: RunLock | None = None,
    frozen: DictConfig | None = None,
    place: Any = None,
    note: Path | None = None,
) -> RunResult:
    """Starts the run of `run_dir`, or resumes it; does nothing if it is complete.

    Args:
        run_dir: Its directory.
        guard: Installed; knows whether a stop was requested.
        new_config: What to start it or resume it with, in which `check` found no mistake; it is frozen once no
            other process has the run. None for the frozen config.
        built: The `Experiment` that was built from `new_config`; None to build it here.
        held: The lock of the directory, if this process holds it already; None to take it here.
        frozen: The frozen config, if this process has read it already.
        place: The run's `Place` in the packs of its worker; None for a run that takes its steps alone.
        note: File in which starts note that they could not read a file: see `start_once_more`; None for one in
            `run_dir`.

    Raises:
        ConfigError: If the config cannot be built, or the checkpoints are not of this config.
        RuntimeError: If the run fails, a file cannot be read, or another process has the directory.
    """
    note = note or RunDirectory(run_dir).unreadable_path
    with ExitStack() as stack:
        try:
            directory = RunDirectory.create(run_dir)
            config = new_config or frozen or load_frozen(run_dir)
            completion = retry_read(directory.read_completion, guard.wait)
            if completion is not None and completion.step >= config.training.num_train_steps:
                forget_failed_starts(note)
                extends = "A larger `training.num_train_steps` extends it."
                _log.info("%s is complete: %d steps. %s", run_dir, completion.step, extends)
                return RunResult(ExitCode.COMPLETE, completion.loss_nats)
            guard.resume_command = f"simplexity resume {shlex.quote(str(run_dir))}"
            guard.saves = config.persistence.instance is not None
            lock = stack.enter_context(claim(directory)) if held is None else held
            if new_config is not None:
                config = load_frozen(freeze(new_config, run_dir, lock.require_held).parent)
            ledger = Ledger(directory.ledger_path, lock.require_held, guard.wait)
            job = this_job()
            decision = next_start(ledger.events, job.submission if job is not None else None)
            step = ledger.saved_step
            ledger.append(
                EventKind.START,
                step,
                previous_alive=lock.previous_alive,
                submission=job.submission if job is not None else None,
                time_limit_s=job.time_limit_s if job is not None else None,
            )
        except UnreadableError as error:
            return RunResult(start_once_more(note, error, stop_requested=guard.requested()), None)
        forget_failed_starts(note)
        try:
            if not decision.allowed:
                raise RuntimeError(f"not started again: {decision.reason}; the next start by hand is not counted")
            if guard.requested():
                return record_stop(ledger, guard, step, saves=guard.saves)
            # With jax, and so not before the lock is held: a refused start must be quick.
            from ._attempt import attempt

            return attempt(directory, config, ledger, lock, guard, built, place)
        except Exception as error:
            if isinstance(error, UnreadableError) and guard.requested():
                # What has been computed since the last checkpoint is computed once more.
                with suppress(OSError, UnreadableError):
                    return record_stop(ledger, guard, ledger.saved_step, saves=guard.saves)
                _log.error("%s", describe_error(error))
                return RunResult(ExitCode.REQUEUE, None)
            comes_back = _comes_back(error, job, ledger)
            with suppress(OSError, UnreadableError):  # the disk may be what failed
                if lock.still_held():
                    reason = f"{type(error).__name__}: {error}"
                    ledger.append(EventKind.FAILED, ledger.saved_step, reason=reason, comes_back=comes_back or None)
            if not comes_back:
                raise
            _log.error("%s; the run is started once more", describe_error(error))
            return RunResult(ExitCode.REQUEUE, None)


def claim(directory: RunDirectory) -> RunLock:
    """The lock of a run's directory, not taken yet. The process ends as soon as another takes the run over."""
    return RunLock(directory.lock_path, on_lost=_stop_here)


def _stop_here() -> None:
    """Ends the process as a kill would: whatever it still wrote would be in another's run."""
    try:
        sys.stderr.write("another process took over this run directory; this one stops here\n")
        sys.stderr.flush()
    finally:  # whoever would read it may be gone
        os._exit(ExitCode.FAILED)


def _comes_back(error: Exception, job: Job | None, ledger: Ledger) -> bool:
    """Whether a new start is to try again to read a file: once, and only in a job, which starts it again."""
    before = [event for event in ledger.events if event.kind in (EventKind.FIRST_STEP, EventKind.FAILED)][-1:]
    return isinstance(error, UnreadableError) and job is not None and not any(event.comes_back for event in before)
