"""One attempt at a run: build, restore or initialise, train to the end or until asked to leave."""

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from omegaconf import DictConfig

from simplexity.cluster import PreemptionGuard
from simplexity.generative_processes import LossOptimum, loss_optimum
from simplexity.loggers import CompositeLogger, Logger, RunFacts
from simplexity.runs import (
    EventKind,
    ExitCode,
    Ledger,
    RunDirectory,
    RunLock,
    environment_record,
    read_json_lines,
    record_environment,
)
from simplexity.training import RunMetrics, TrainResult, TrainState, train

from ._attempt_logger import AttemptLogger
from ._build import Experiment, build
from ._checkpoints import open_checkpoints, restore
from ._compilation import BackgroundCompilation
from ._devices import check_accelerator, device_names, share_among_devices, start_jax
from ._instantiate import instantiate
from ._lead import Lead
from ._outcome import RunResult, describe_final_loss, leave
from ._weights import with_weights

_log = logging.getLogger("simplexity")


class _Optima(NamedTuple):
    """The best possible losses."""

    training: LossOptimum
    validation: LossOptimum

    @property
    def nats(self) -> tuple[float, float]:
        return self.training.nats, self.validation.nats


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
        RuntimeError: If the loss is not finite, or a file cannot be written.
    """
    check_accelerator(config, start_jax(config, directory))
    parallel = share_among_devices(config)
    experiment = build(config)
    lead = Lead(guard)
    lead.begin(directory.path)
    with ledger.phases.measure("compiling"):
        state = experiment.initial_state()
        compilation = BackgroundCompilation(experiment, state, parallel)
    # All that follows happens while the compiler works.
    record_environment(directory.environment_path, environment_record(device_names()))
    checkpoints = open_checkpoints(directory, config, ledger)
    try:
        with ledger.phases.measure("restoring"):
            restored = restore(checkpoints, config, state)
        state = with_weights(config, experiment, state, directory.path) if restored is None else restored
        with ledger.phases.measure("compiling"):
            programs = compilation.wait(lead)
            gathered = None if programs is None else lead.gather(state)
        if programs is None or gathered is None:
            # The compiler cannot be interrupted, and there is nothing new to save.
            return leave(ledger, guard, int(state.step))
        # It takes up to seconds, and only lines need it: beside the first steps, not the compiler, which it would slow.
        optima = ThreadPoolExecutor(1).submit(_optima, experiment)
        state = gathered
        last_line = _last_line(directory, int(state.step))
        if restored is not None:
            ledger.append(EventKind.RESUME, int(state.step), reached_step=_reached_step(directory))
        loggers: dict[str, Logger] = {"attempt": AttemptLogger(ledger, lock)}
        if config.logging.instance is not None:
            loggers["run"] = instantiate(config.logging.instance, run_directory=directory.path)
        logger = CompositeLogger(loggers)
        try:
            logger.start(_facts(experiment, state))
            result = train(
                state,
                lead.leading(programs.advance),
                experiment.settings,
                metrics=RunMetrics(
                    experiment.settings,
                    experiment.optimizer.learning_rate,
                    lambda: optima.result().nats,
                    elapsed_s=last_line.get("time_s", 0.0),
                ),
                validation=programs.validation,
                logger=logger,
                checkpointer=checkpoints,
                preemption=lead,
                timed=ledger.phases.measure,
            )
        finally:
            logger.close()
    finally:
        checkpoints.close()
    # A figure takes seconds, and no work is lost: whoever goes on with the run draws it.
    if not result.finished or (config.figures and lead.requested()):
        return leave(ledger, guard, result.step)
    if config.figures:
        _draw(directory, optima.result())
    return _complete(directory, ledger, result, optima.result())


def _optima(experiment: Experiment) -> _Optima:
    length = experiment.settings.sequence_len
    training = loss_optimum(experiment.generator, length)
    if experiment.validation_generator is experiment.generator:
        return _Optima(training, training)
    return _Optima(training, loss_optimum(experiment.validation_generator, length))


def _last_line(directory: RunDirectory, step: int) -> dict:
    """The last metrics that were logged up to `step`."""
    lines = [line for line in read_json_lines(directory.metrics_path) if line["step"] <= step]
    return lines[-1] if lines else {}


def _reached_step(directory: RunDirectory) -> int | None:
    """The last step whose metrics were logged, in a checkpoint or not."""
    return max((line["step"] for line in read_json_lines(directory.metrics_path)), default=None)


def _facts(experiment: Experiment, state: TrainState) -> RunFacts:
    settings = experiment.settings
    return RunFacts(settings.num_train_steps, int(state.step), settings.tokens_per_step)


def _draw(directory: RunDirectory, optima: _Optima) -> None:
    # Importing matplotlib takes longer than drawing.
    from simplexity.analysis import draw_loss_curve

    lines = read_json_lines(directory.metrics_path)
    draw_loss_curve(lines, optima.validation.per_position, directory.figures_path / "loss.png")


def _complete(directory: RunDirectory, ledger: Ledger, result: TrainResult, optima: _Optima) -> RunResult:
    validated = "validation_loss" in result.metrics
    loss = float(result.metrics["validation_loss" if validated else "loss"])  # pyright: ignore[reportArgumentType]
    optimum = (optima.validation if validated else optima.training).nats
    directory.mark_complete(result.step, loss, optimum, loss - optimum)
    ledger.append(EventKind.COMPLETE, result.step)
    _log.info("%s", describe_final_loss(loss, optimum, result.metrics.get("validation_kl")))  # pyright: ignore
    return RunResult(ExitCode.COMPLETE, loss)
