"""What an attempt at a run writes down for people and later attempts: environment, first step, resume, completion."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from omegaconf import DictConfig

from simplexity.composition import ConfigError, Problem
from simplexity.loggers import Logger, Metrics, RunFacts
from simplexity.runs import (
    EventKind,
    ExitCode,
    Ledger,
    RunDirectory,
    RunLock,
    environment_changes,
    environment_record,
    is_there,
    read_environments,
    record_environment,
    retry_read,
)
from simplexity.training import Optima, TrainResult, TrainState

from ._devices import device_names
from ._outcome import RunResult, describe_final_loss, describe_worse_than_guessing

_log = logging.getLogger("simplexity")


class FirstStepLogger(Logger):
    """Records an attempt's first new step in the ledger.

    Args:
        ledger: The run's.
        then: Called once it is recorded.
    """

    def __init__(self, ledger: Ledger, then: Callable[[], object]):
        self._ledger, self._then = ledger, then
        self._recorded = False
        self._start_step = 0

    def start(self, facts: RunFacts) -> None:
        self._start_step = facts.start_step

    def log(self, step: int, metrics: Metrics) -> None:
        """Records the step, unless it is that of the restored state: the ledger knows a step before metrics.jsonl."""
        if step > self._start_step:
            self.progress(step)

    def progress(self, step: int) -> None:
        if not self._recorded:
            self._ledger.append(EventKind.FIRST_STEP, step)
            self._recorded = True
            self._then()

    def flush(self) -> None:
        """Does nothing: each event is on disk at once."""

    def close(self) -> None:
        """Does nothing."""


class ScoreLogger(Logger):
    """Hands validation losses to a checkpointer that keeps the best checkpoint.

    Args:
        checkpoints: The run's. One of the user's own may have no method `score`.
    """

    def __init__(self, checkpoints: object):
        self._score = getattr(checkpoints, "score", None)

    def start(self, facts: RunFacts) -> None:
        """Does nothing."""

    def log(self, step: int, metrics: Metrics) -> None:
        loss = metrics.get("validation_loss")
        if self._score is not None and loss is not None:
            self._score(step, loss)

    def progress(self, step: int) -> None:
        """Does nothing."""

    def flush(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def record_this_environment(
    directory: RunDirectory, config: DictConfig, lock: RunLock, wait: Callable[[float], bool]
) -> None:
    """Adds this attempt's environment to the others, and logs what has changed since the last.

    Another JAX, another number of cores or another GPU may round differently: a resumed run then differs in the last
    bits from one that was never stopped.

    Args:
        directory: The run's.
        config: Its config.
        lock: Held.
        wait: Sleeps between tries at reading; see `retry_read`.

    Raises:
        ConfigError: If something has changed, and `persistence.resume` is strict.
    """
    earlier = retry_read(lambda: read_environments(directory.environment_path), wait)
    record = environment_record(device_names())
    changes = environment_changes(earlier[-1], record) if earlier else []
    if changes:
        changed = ", ".join([*changes[:3], *([f"{len(changes) - 3} more"] if len(changes) > 3 else [])])
        if config.persistence.resume == "strict":
            message = f"is strict, and since this run's last start these have changed: {changed}; set auto to resume it"
            raise ConfigError([Problem("persistence.resume", message)])
        _log.warning(
            "since this run's last start these have changed: %s; numbers may differ in the last digits", changed
        )
    record_environment(directory.environment_path, record, lock.require_held)


def record_resume(
    directory: RunDirectory, ledger: Ledger, state: TrainState, lines: Sequence[dict[str, Any]], lost: Sequence[str]
) -> None:
    """Writes into the ledger where the run is resumed, and what its files lack.

    Args:
        directory: The run's.
        ledger: The run's.
        state: The restored one.
        lines: Those of metrics.jsonl before this attempt.
        lost: What other files lack: see `write_lost_outputs`.
    """
    step, missing = int(state.step), [*lost]
    # The lines of the steps before the state's window were on disk before it was saved.
    num_logged = step - int(state.window.num_steps)
    last = max((line["step"] for line in lines if line["step"] <= step), default=0)
    # Not every run logs into the file.
    if last < num_logged and is_there(directory.metrics_path):
        missing.insert(0, f"metrics.jsonl had no lines after step {last}, though the checkpoint is of step {step}")
        _log.warning("%s: the lines in between are lost", missing[0])
    reached = max((line["step"] for line in lines), default=None)
    ledger.append(EventKind.RESUME, step, reason="; ".join(missing) or None, reached_step=reached)


def elapsed_s(lines: Sequence[dict[str, Any]], step: int) -> float:
    """The seconds of training up to `step`, by the last line of metrics.jsonl that is not after it."""
    return next((line.get("time_s", 0.0) for line in reversed(lines) if line["step"] <= step), 0.0)


def record_completion(
    directory: RunDirectory, ledger: Ledger, lock: RunLock, result: TrainResult, optima: Optima, vocab_size: int
) -> RunResult:
    """Marks a run as complete, and logs its final loss beside the best possible one.

    Args:
        directory: The run's.
        ledger: The run's.
        lock: Held.
        result: Of its training.
        optima: The best possible losses.
        vocab_size: Tokens that the model chooses between.
    """
    validated = "validation_loss" in result.metrics
    loss = float(result.metrics["validation_loss" if validated else "loss"])  # pyright: ignore[reportArgumentType]
    optimum = optima.validation if validated else optima.training
    directory.mark_complete(
        result.step, loss, optimum.nats, loss - optimum.nats, optimum.error_nats, require_held=lock.require_held
    )
    remark = describe_worse_than_guessing(loss, vocab_size)
    ledger.append(EventKind.COMPLETE, result.step, reason=remark)
    if remark is not None:
        _log.warning("%s", remark)
    _log.info("%s", describe_final_loss(loss, optimum.nats, optimum.error_nats, validated))
    return RunResult(ExitCode.COMPLETE, loss)
