"""`predictive_model.load_checkpoint_from`: a run that begins with the weights of another."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from simplexity.composition import ConfigError, Problem, config_errors_at
from simplexity.persistence import check_saved_model, newest_saved_step, read_model, saved_model_digest
from simplexity.predictive_models import PredictiveModel
from simplexity.runs import LoadedWeights, RunDirectory, folder_problem, is_there, read_origin, retry_read, write_origin
from simplexity.training import TrainState

from ._build import Experiment

_log = logging.getLogger("simplexity")
_STEP = "predictive_model.load_checkpoint_step"
_FROM = "predictive_model.load_checkpoint_from"


def require_weights(config: DictConfig, experiment: Experiment, run_dir: Path) -> None:
    """Checks, before a fresh run begins, that the weights which it asks for were saved, and by such a model.

    Args:
        config: A config that `check` found no mistake in.
        experiment: What was built from it.
        run_dir: The run's own directory.

    Raises:
        ConfigError: If they are not there, or another model's.
        RuntimeError: If they cannot be read.
    """
    source = config.predictive_model.load_checkpoint_from
    if not _wanted(config):
        return
    if source is not None and (problem := folder_problem(Path(source), "run")):
        raise ConfigError([Problem(_FROM, f"`{source}`: {problem}")])
    if source is None and not is_there(RunDirectory(run_dir).checkpoints_path):
        step = config.predictive_model.load_checkpoint_step
        message = f"must name the directory of the run that saved step {step}: this run's own has no checkpoints"
        raise ConfigError([Problem(_FROM, message)])
    with _config_errors_at_source(config):
        retry_read(lambda: _check(config, experiment, run_dir))


def with_weights(
    config: DictConfig,
    experiment: Experiment,
    state: TrainState,
    directory: RunDirectory,
    wait: Callable[[float], bool],
    require_held: Callable[[], object] = lambda: None,
) -> TrainState:
    """A fresh state with the weights that the config asks for; `state` if it asks for none.

    Which ones they are is written down: a run that is stopped before its first checkpoint begins with the same again.

    Args:
        config: The run's.
        experiment: What was built from it.
        state: The state before the first step.
        directory: The run's own.
        wait: Sleeps between tries at reading; see `retry_read`.
        require_held: As in `write_durably`.

    Raises:
        ConfigError: If they are not there, or another model's.
        RuntimeError: If they are corrupt, cannot be read, or are not those that the run began with.
    """
    if not _wanted(config):
        return state
    saved = _source(config, directory.path)
    origin = retry_read(lambda: read_origin(directory.origin_path), wait)
    step = config.predictive_model.load_checkpoint_step if origin.weights is None else origin.weights.step

    def load() -> tuple[LoadedWeights, PredictiveModel]:
        found = newest_saved_step(saved) if step is None else step
        model = read_model(saved, state.model, found)
        return LoadedWeights(str(saved.path), found, saved_model_digest(saved, found)), model

    with _config_errors_at_source(config):
        loaded, model = retry_read(load, wait)
    if origin.weights is None:
        write_origin(directory.origin_path, replace(origin, weights=loaded), require_held)
    elif origin.weights.sha256 != loaded.sha256:
        raise RuntimeError(f"the model of step {step} in {saved.path} is not the one that this run began with")
    _log.info("beginning with the weights of step %d in %s", loaded.step, saved.path)
    return experiment.state_of(model)


def _wanted(config: DictConfig) -> bool:
    section = config.predictive_model
    return section.load_checkpoint_step is not None or section.load_checkpoint_from is not None


def _check(config: DictConfig, experiment: Experiment, run_dir: Path) -> None:
    saved, step = _source(config, run_dir), config.predictive_model.load_checkpoint_step
    check_saved_model(saved, experiment.model_shapes(), newest_saved_step(saved) if step is None else step)


def _config_errors_at_source(config: DictConfig) -> AbstractContextManager[None]:
    return config_errors_at(_FROM if config.predictive_model.load_checkpoint_step is None else _STEP)


def _source(config: DictConfig, run_dir: Path) -> RunDirectory:
    source = config.predictive_model.load_checkpoint_from
    return RunDirectory((run_dir if source is None else Path(source)).absolute())
