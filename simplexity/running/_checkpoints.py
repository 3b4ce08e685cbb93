"""A run's checkpoints: opening them, and restoring the state to resume from."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig

from simplexity.composition import ConfigError, Problem, config_errors_at, instantiate
from simplexity.persistence import snapshot_steps
from simplexity.runs import EventKind, Ledger, RunDirectory, retry_read
from simplexity.training import TrainState

from ._checkpointers import Checkpoints, NoCheckpoints, WithFinalState

_log = logging.getLogger("simplexity")


def open_checkpoints(
    directory: RunDirectory,
    config: DictConfig,
    ledger: Ledger,
    require_held: Callable[[], int],
    in_one_file: Callable[[], bool] = lambda: False,
) -> Checkpoints:
    """The checkpoints of a run directory, each of which is recorded in the ledger when it is committed.

    Args:
        directory: The run's.
        config: Its config.
        ledger: The run's.
        require_held: The run's lock.
        in_one_file: Whether a state is now to be saved in one file: see `WithFinalState`.

    Raises:
        RuntimeError: If their folder cannot be written.
    """
    if config.persistence.instance is None:
        return NoCheckpoints()

    def record(step: int) -> None:
        ledger.append(EventKind.CHECKPOINT, step)

    checkpointer = instantiate(
        config.persistence.instance,
        directory=directory.checkpoints_path,
        on_commit=record,
        require_held=require_held,
    )
    checkpointer.open()
    return WithFinalState(checkpointer, directory, config, record, require_held, in_one_file)


def restore(
    checkpoints: Checkpoints,
    config: DictConfig,
    like: TrainState,
    directory: RunDirectory,
    ledger: Ledger,
    lines: Sequence[dict[str, Any]],
    wait: Callable[[float], bool],
) -> TrainState | None:
    """The state to resume from, by the rule `persistence.resume`; None for a fresh start.

    A run that has saved never begins again by itself: its metrics would be cut off at step 0, and what happened to its
    checkpoints is for a person to find out. The same holds for a run that has metrics of which its ledger knows
    nothing: its ledger is gone, and its checkpoints too.

    Args:
        checkpoints: Those of the run, opened.
        config: The run's.
        like: A state of the same structure.
        directory: The run's.
        ledger: The run's.
        lines: Those of metrics.jsonl.
        wait: Sleeps between tries at reading; see `retry_read`.

    Raises:
        ConfigError: If the rule forbids what is there, or the checkpoints are not of this config.
        UnreadableError: If the checkpoints cannot be read.
        RuntimeError: If no valid checkpoint is there, though the ledger knows one, or has no step of the metrics.
    """
    steps, rule = retry_read(checkpoints.steps, wait), config.persistence.resume
    known_step = ledger.saved_step
    if rule == "never" and steps:
        message = f"is never, but the run directory has checkpoints up to step {steps[-1]}; set auto, or choose another"
        raise ConfigError([Problem("persistence.resume", f"{message} `hydra.run.dir`")])
    with config_errors_at("persistence"):
        restored = retry_read(lambda: checkpoints.restore(like), wait)
    if restored is None and known_step > 0:
        missing = f"{directory.checkpoints_path} has no valid checkpoint"
        if config.persistence.instance is None:
            missing = "`persistence.instance` is null"
        elif known_step in snapshot_steps(directory.snapshots_path):
            missing += ", only the weights (a complete run keeps no more with `persistence.on_complete=weights`)"
        raise RuntimeError(
            f"{missing}, but this run has saved up to step {known_step}: put that right to resume it; "
            f"to begin again at step 0 instead, remove {directory.ledger_path} and {directory.metrics_path.name}"
        )
    # The first step of every attempt is in the ledger before any of its lines.
    if restored is None and lines and not any(event.step > 0 for event in ledger.events):
        raise RuntimeError(
            f"{directory.metrics_path} has lines up to step {lines[-1]['step']}, but neither a checkpoint nor "
            f"{directory.ledger_path.name} knows of them: put these back to resume the run; to begin again at step 0 "
            f"instead, remove {directory.metrics_path.name}"
        )
    if restored is not None and known_step not in (0, *steps):
        _log.warning("the checkpoint of step %d is gone: resuming from step %d", known_step, restored[0])
    if restored is None and rule == "required":
        raise ConfigError(
            [
                Problem(
                    "persistence.resume",
                    "is required, but the run directory has no valid checkpoint; set auto to begin",
                )
            ]
        )
    return None if restored is None else restored[1]
