"""`predictive_model.load_checkpoint_step`: a fresh run that begins with the weights of another."""

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig

from simplexity.persistence import check_weights, restore_weights
from simplexity.runs import RunDirectory, retry_read
from simplexity.training import TrainState

from ._build import Experiment
from ._problems import ConfigError, Problem, blaming

_STEP = "predictive_model.load_checkpoint_step"


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
    step, source = config.predictive_model.load_checkpoint_step, config.predictive_model.load_checkpoint_from
    if step is not None:
        if source is None and not _checkpoints(config, run_dir).is_dir():
            message = f"must name the directory of the run that saved step {step}: this run's own has no checkpoints"
            raise ConfigError([Problem("predictive_model.load_checkpoint_from", message)])
        with blaming(_STEP):
            retry_read(lambda: check_weights(_checkpoints(config, run_dir), experiment.model_shapes(), step))


def with_weights(
    config: DictConfig, experiment: Experiment, state: TrainState, run_dir: Path, wait: Callable[[float], bool]
) -> TrainState:
    """A fresh state with the weights that the config asks for; `state` if it asks for none.

    Args:
        config: The run's.
        experiment: What was built from it.
        state: The state before the first step.
        run_dir: The run's own directory.
        wait: Sleeps between tries at reading; see `retry_read`.

    Raises:
        ConfigError: If they are not there, or another model's.
        RuntimeError: If they are corrupt or cannot be read.
    """
    step = config.predictive_model.load_checkpoint_step
    if step is None:
        return state
    with blaming(_STEP):
        weights = retry_read(lambda: restore_weights(_checkpoints(config, run_dir), state.model, step), wait)
    return experiment.state_of(weights)


def _checkpoints(config: DictConfig, run_dir: Path) -> Path:
    source = config.predictive_model.load_checkpoint_from
    return RunDirectory((run_dir if source is None else Path(source)).absolute()).checkpoints_path
