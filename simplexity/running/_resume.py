"""A run from the frozen config in its directory, in this process: `simplexity resume`, and every run of a sweep."""

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from simplexity.composition import ConfigError, Problem, check, load_frozen, restore_surroundings, with_kept_files
from simplexity.host import PreemptionGuard, configure_accelerator
from simplexity.runs import RunDirectory, RunLock, UnreadableError

from ._execute import execute
from ._failures import log_failure, report
from ._processes import in_all_tasks
from ._run_log import log_to, thread_logs_to
from ._unreadable import start_once_more


def run_frozen(run_dir: Path, guard: PreemptionGuard, log_name: str | None, note: Path | None = None) -> int:
    """Starts the run, or resumes it from its last checkpoint. JAX must not have been used in this process.

    Args:
        run_dir: The run's directory.
        guard: Installed; has whether a stop was requested.
        log_name: Name of the run's log; None for that of the log which is there.
        note: File in which starts note that they could not read a file of the sweep or the run: see
            `start_once_more`. None for a file in the run's folder.

    Returns:
        The exit code: 0 complete, 1 failed, 2 a mistake in the config, 85 stopped and to be started again.
    """
    note = note or RunDirectory(run_dir).unreadable_path
    try:
        try:
            restore_surroundings(run_dir)
        except UnreadableError as error:
            return start_once_more(note, error, stop_requested=guard.requested())
    except (ConfigError, RuntimeError) as error:
        return report(error)
    configure_accelerator()
    # Until all tasks of the job step have joined, another one may have to read the note.
    return in_all_tasks(lambda: execute_frozen(run_dir, guard, log_name, note=note), guard)


def execute_frozen(
    run_dir: Path,
    guard: PreemptionGuard,
    log_name: str | None,
    held: RunLock | None = None,
    frozen: DictConfig | None = None,
    problems_of: Callable[[DictConfig], list[Problem]] = check,
    place: Any = None,
    note: Path | None = None,
) -> int:
    """What `run_frozen` does once the environment is as the run wants it; as often as wanted in one process.

    Args:
        run_dir: As in `run_frozen`.
        guard: As in `run_frozen`.
        log_name: As in `run_frozen`.
        held: The run's lock, if this process holds it already.
        frozen: The run's frozen config, if this process has read it already.
        problems_of: The mistakes in a config.
        place: The run's `Place` in the packs of its worker, which executes it in a thread of its own; None for a run
            that this process executes alone.
        note: As in `run_frozen`.
    """
    note = note or RunDirectory(run_dir).unreadable_path
    with ExitStack() as stack:
        try:
            try:
                frozen = frozen or load_frozen(run_dir)
                config = with_kept_files(frozen, RunDirectory(run_dir))
            except UnreadableError as error:
                return start_once_more(note, error, stop_requested=guard.requested())
            log = run_dir / (log_name or next((path.name for path in sorted(run_dir.glob("*.log"))), "resume.log"))
            if place is None:
                log_to(log)
            else:
                stack.enter_context(thread_logs_to(log))
            if problems := problems_of(config):
                raise ConfigError(problems)
            if "jax" not in sys.modules:
                logging.getLogger("simplexity").info("starting: JAX is being loaded")
            return execute(run_dir, guard, held=held, frozen=frozen, place=place, note=note).exit_code
        except Exception as error:
            log_failure(error)
            return report(error)
