"""The body of both programs: from a run directory's frozen config to a trained, validated, saved and finished run."""

import logging
from contextlib import suppress
from pathlib import Path

from omegaconf import DictConfig

from simplexity.cluster import CompilationCache, PreemptionGuard, default_cache_folder
from simplexity.runs import EventKind, ExitCode, Ledger, RunDirectory, RunLock

from ._frozen import load_frozen
from ._outcome import RunResult

_log = logging.getLogger("simplexity")


def execute(run_dir: Path, guard: PreemptionGuard) -> RunResult:
    """Starts the run of `run_dir`, or goes on with it; does nothing if it is complete.

    Args:
        run_dir: A directory with a frozen config that `check` found no mistake in.
        guard: Installed; asked whether to leave.

    Raises:
        ConfigError: If the config cannot be built, or the checkpoints are not of this config.
        RuntimeError: If the run fails, or another process has the directory.
    """
    directory = RunDirectory.create(run_dir)
    config = load_frozen(run_dir)
    completion = directory.read_completion()
    if completion is not None and completion.step >= config.training.num_train_steps:
        _log.info("%s is complete: %d steps. A larger `training.num_train_steps` extends it.", run_dir, completion.step)
        return RunResult(ExitCode.COMPLETE, completion.loss_nats)
    guard.resume_command = f"simplexity resume {run_dir}"
    with RunLock(directory.lock_path) as lock:
        ledger = Ledger(directory.ledger_path)
        saved_step = max((event.step for event in ledger.events if event.kind == EventKind.CHECKPOINT), default=0)
        ledger.append(EventKind.START, saved_step, previous_alive=lock.previous_alive)
        directory.unmark_complete()
        try:
            return _attempt(directory, config, ledger, guard)
        except Exception as error:
            with suppress(OSError):  # the disk may be what failed
                ledger.append(EventKind.FAILED, saved_step, reason=f"{type(error).__name__}: {error}")
            raise


def _attempt(directory: RunDirectory, config: DictConfig, ledger: Ledger, guard: PreemptionGuard) -> RunResult:
    # With jax, and so not before the lock is held: a refused start must be quick.
    from ._attempt import attempt

    cache = _open_cache()
    try:
        return attempt(directory, config, ledger, guard, cache)
    finally:
        if cache is not None:
            cache.close()


def _open_cache() -> CompilationCache | None:
    folder = default_cache_folder() / "programs"
    try:
        return CompilationCache(folder)
    except OSError as error:
        _log.warning(
            "compiled programs are not kept: %s cannot be written (%s); set SIMPLEXITY_CACHE", folder, error.strerror
        )
        return None
