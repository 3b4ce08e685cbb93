"""One attempt at a run: build, restore or initialise, train to the end or until asked to leave."""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from simplexity.composition import ConfigError, Problem, instantiate, keep_data_files
from simplexity.generative_processes import loss_optimum
from simplexity.host import PreemptionGuard
from simplexity.loggers import CompositeLogger, Logger, RunFacts
from simplexity.runs import (
    EventKind,
    ExitCode,
    Ledger,
    RunDirectory,
    RunLock,
    environment_changes,
    environment_record,
    read_environments,
    read_json_lines,
    record_environment,
    retry_read,
)
from simplexity.training import NotFiniteError, Optima, RunMetrics, TrainResult, TrainState, train

from ._announcements import announce_end, announce_start
from ._attempt_logger import AttemptLogger
from ._build import Experiment, build
from ._checkpoints import open_checkpoints, restore
from ._compilation import BackgroundCompilation
from ._devices import check_accelerator, device_names, keep_cpu_devices, share_among_devices, start_jax
from ._lead import Lead
from ._outcome import RunResult, describe_final_loss, describe_not_finite, leave
from ._weights import with_weights

_log = logging.getLogger("simplexity")


def attempt(
    directory: RunDirectory,
    config: DictConfig,
    ledger: Ledger,
    lock: RunLock,
    guard: PreemptionGuard,
) -> RunResult:
    """Runs until the run is complete or `guard` asks to leave.

    Raises:
        ConfigError: If the config cannot be built, or the checkpoints are not of this config.
        RuntimeError: If the loss is not finite, a file cannot be read or written, or all checkpoints are gone.
    """
    check_accelerator(config, start_jax(config, directory))
    keep_cpu_devices(directory)
    config = keep_data_files(config, directory, guard.wait)
    parallel = share_among_devices(config)
    experiment = build(config)
    lead = Lead(guard)
    lead.begin(directory.path)
    with ledger.phases.measure("compiling"):
        state = experiment.initial_state()
        compilation = BackgroundCompilation(experiment, state, parallel)
    # All that follows happens while the compiler works.
    announce_start(directory, config, state.model, parallel)
    _record_environment(directory, config, lock, guard)
    checkpoints = open_checkpoints(directory, config, ledger, lock.require_held)
    try:
        with ledger.phases.measure("restoring"):
            restored = restore(checkpoints, config, state, directory, ledger, guard.wait)
            lines = retry_read(lambda: read_json_lines(directory.metrics_path), guard.wait)
            if restored is None:
                state = with_weights(config, experiment, state, directory, guard.wait)
            else:
                state = restored
        with ledger.phases.measure("compiling"):
            programs = compilation.wait(lead)
            gathered = None if programs is None else lead.gather(state)
        if programs is None or gathered is None:
            # The compiler cannot be interrupted, and there is nothing new to save.
            return leave(ledger, guard, int(state.step), saves=guard.saves)
        # It takes up to seconds, and only lines need it: beside the first steps, not the compiler, which it would slow.
        optima = ThreadPoolExecutor(1).submit(_optima, experiment)
        state = gathered
        directory.unmark_complete(lock.require_held)
        loggers: dict[str, Logger] = {"attempt": AttemptLogger(ledger)}
        if config.logging.instance is not None:
            loggers["run"] = instantiate(
                config.logging.instance, run_directory=directory.path, require_held=lock.require_held
            )
        logger = CompositeLogger(loggers)
        try:
            logger.start(_facts(experiment, state))
            if restored is not None:
                _record_resume(directory, ledger, state, lines)
            result = train(
                state,
                lead.leading(programs.train_steps),
                experiment.settings,
                metrics=RunMetrics(
                    experiment.settings,
                    experiment.optimizer.learning_rate,
                    optima.result,
                    elapsed_s=_elapsed_s(lines, int(state.step)),
                ),
                validation=programs.validation,
                logger=logger,
                checkpointer=checkpoints,
                preemption=lead,
                timed=ledger.phases.measure,
            )
            # A figure takes seconds, and no work is lost if all is saved: whoever goes on with the run draws it.
            is_stopped = not result.finished or (config.figures and guard.saves and lead.requested())
            picture = _draw(directory, optima.result()) if config.figures and not is_stopped else None
        except NotFiniteError as error:
            raise RuntimeError(describe_not_finite(directory.path, error.step, saves=guard.saves)) from error
        finally:
            logger.close()
    finally:
        checkpoints.close()
    if is_stopped:
        return leave(ledger, guard, result.step, saves=guard.saves)
    announce_end(directory, picture)
    return _complete(directory, ledger, lock, result, optima.result())


def _optima(experiment: Experiment) -> Optima:
    length, carry_state = experiment.settings.sequence_len, experiment.settings.carry_state
    training = loss_optimum(experiment.generator, length, carry_state=carry_state)
    # Validation always begins at the initial state.
    if experiment.validation_generator is experiment.generator and not carry_state:
        return Optima(training, training)
    return Optima(training, loss_optimum(experiment.validation_generator, length))


def _record_environment(directory: RunDirectory, config: DictConfig, lock: RunLock, guard: PreemptionGuard) -> None:
    """Adds this attempt's environment to the others, and says what has changed since the last."""
    earlier = retry_read(lambda: read_environments(directory.environment_path), guard.wait)
    record = environment_record(device_names())
    changes = environment_changes(earlier[-1], record) if earlier else []
    if changes:
        changed = ", ".join([*changes[:3], *([f"{len(changes) - 3} more"] if len(changes) > 3 else [])])
        if config.persistence.resume == "strict":
            message = f"is strict, and since this run's last start these have changed: {changed}; set auto to go on"
            raise ConfigError([Problem("persistence.resume", message)])
        _log.warning(
            "since this run's last start these have changed: %s; numbers may differ in the last digits", changed
        )
    record_environment(directory.environment_path, record, lock.require_held)


def _elapsed_s(lines: Sequence[dict[str, Any]], step: int) -> float:
    """The seconds of training that the last line up to `step` tells of."""
    return next((line.get("time_s", 0.0) for line in reversed(lines) if line["step"] <= step), 0.0)


def _record_resume(directory: RunDirectory, ledger: Ledger, state: TrainState, lines: Sequence[dict[str, Any]]) -> None:
    """Writes into the ledger where the run goes on, and what the metrics that were there before lack."""
    step, missing = int(state.step), None
    # The lines of the steps before the state's window were on disk before it was saved.
    num_logged = step - int(state.window.num_steps)
    last = max((line["step"] for line in lines if line["step"] <= step), default=0)
    # Not every run logs into the file.
    if last < num_logged and directory.metrics_path.exists():
        missing = f"metrics.jsonl had no lines after step {last}, though the checkpoint is of step {step}"
        _log.warning("%s: the lines in between are lost", missing)
    reached = max((line["step"] for line in lines), default=None)
    ledger.append(EventKind.RESUME, step, reason=missing, reached_step=reached)


def _facts(experiment: Experiment, state: TrainState) -> RunFacts:
    settings = experiment.settings
    return RunFacts(settings.num_train_steps, int(state.step), settings.tokens_per_step)


def _draw(directory: RunDirectory, optima: Optima) -> Path:
    # Importing matplotlib takes longer than drawing.
    from simplexity.analysis import draw_loss_curve

    lines = read_json_lines(directory.metrics_path)
    path = directory.figures_path / "loss.png"
    draw_loss_curve(lines, optima.validation, path)
    return path


def _complete(directory: RunDirectory, ledger: Ledger, lock: RunLock, result: TrainResult, optima: Optima) -> RunResult:
    validated = "validation_loss" in result.metrics
    loss = float(result.metrics["validation_loss" if validated else "loss"])  # pyright: ignore[reportArgumentType]
    optimum = optima.validation if validated else optima.training
    directory.mark_complete(
        result.step, loss, optimum.nats, loss - optimum.nats, optimum.error_nats, require_held=lock.require_held
    )
    ledger.append(EventKind.COMPLETE, result.step)
    _log.info("%s", describe_final_loss(loss, optimum.nats, optimum.error_nats, validated))
    return RunResult(ExitCode.COMPLETE, loss)
