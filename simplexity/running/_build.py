"""From a checked config to the objects of an experiment."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray
from omegaconf import DictConfig, OmegaConf

from simplexity.analysis import AnalysisFunction, AnalysisSettings
from simplexity.composition import ConfigError, Problem, config_errors_at, instantiate, prepare, resolve
from simplexity.generative_processes import DataGenerator
from simplexity.predictive_models import PredictiveModel
from simplexity.training import (
    RunKeys,
    TrainingSettings,
    TrainState,
    ValidationSettings,
    check_sequences,
    initial_train_state,
    run_keys,
)

from ._memory import require_memory
from ._model_check import check_model
from ._optimizer import Hyperparameters, Optimizer, build_optimizer


class Experiment(NamedTuple):
    """Everything that a run computes with; what it writes to comes with its run directory."""

    seed: int
    generator: DataGenerator
    validation_generator: DataGenerator
    settings: TrainingSettings
    validation: ValidationSettings | None
    optimizer: Optimizer
    make_model: Callable[[PRNGKeyArray], PredictiveModel]
    analysis: AnalysisSettings | None
    analysis_functions: Mapping[str, AnalysisFunction]

    def model_shapes(self) -> PredictiveModel:
        """The model with shapes for arrays, which takes milliseconds."""
        return eqx.filter_eval_shape(self.make_model, jax.random.key(0))

    def initial_state(self) -> TrainState:
        """The state before the first step, with a freshly initialised model.

        Raises:
            RuntimeError: If it takes more memory than there is.
        """
        return self.state_of(None)

    def state_of(self, model: PredictiveModel | None) -> TrainState:
        """The state before the first step of training `model`, or a fresh one if that is None."""
        # One program, because initialising leaf by leaf compiles dozens of small ones, and the same one for all seeds.
        arguments = (model, run_keys(self.seed), self.optimizer.hyperparameters)
        program = eqx.filter_jit(self._state_of).lower(*arguments).compile()
        require_memory(
            program,
            "the model and its optimizer take",
            "choose a smaller model: see `predictive_model.instance`",
        )
        return program(*arguments)

    def _state_of(self, model: PredictiveModel | None, keys: RunKeys, hyperparameters: Hyperparameters) -> TrainState:
        if model is None:
            model = self.make_model(keys.initialization)
        optimizer = self.optimizer.make(hyperparameters)
        return initial_train_state(model, optimizer, self.generator, self.settings, key=keys.data)


def build(config: DictConfig) -> Experiment:
    """Builds what a run computes with. Computes nothing yet: also to find what only the whole config gets wrong.

    Args:
        config: A config that `check` found no mistake in.

    Raises:
        ConfigError: If a constructor objects, or two sections do not fit each other.
    """
    generator = _generator(config, "training_data_generator")
    follows = config.validation_data_generator is None
    validation_generator = generator if follows else _generator(config, "validation_data_generator")
    if validation_generator.vocab_size != generator.vocab_size:
        message = (
            f"must have as many tokens as the training generator, {generator.vocab_size}, "
            f"got {validation_generator.vocab_size}; choose another process or give the same special tokens"
        )
        raise ConfigError([Problem("validation_data_generator", message)])
    settings = _training_settings(config)
    experiment = Experiment(
        seed=config.seed,
        generator=generator,
        validation_generator=validation_generator,
        settings=settings,
        validation=None if config.validation is None else ValidationSettings(**config.validation),
        optimizer=build_optimizer(config),
        make_model=_model_maker(config, generator.vocab_size, settings.sequence_len),
        analysis=_analysis_settings(config),
        analysis_functions=_analysis_functions(config),
    )
    with config_errors_at("training"):
        check_sequences(generator, settings)
        validation_generator.num_drawn(settings.sequence_len)
    with config_errors_at("predictive_model.instance"):
        constructor = resolve(config.predictive_model.instance["_target_"])
        check_model(experiment.make_model, constructor, generator.vocab_size, settings.sequence_len)
    return experiment


def _generator(config: DictConfig, name: str) -> DataGenerator:
    settings: Any = OmegaConf.to_container(config[name], resolve=True)
    instance = settings.pop("instance")
    with config_errors_at(f"{name}.instance"):
        process = instantiate(instance)
    with config_errors_at(name):
        return DataGenerator(process, **settings)


def _training_settings(config: DictConfig) -> TrainingSettings:
    fields = {name: value for name, value in config.training.items() if name not in ("optimizer", "schedule")}
    with config_errors_at("training"):
        return TrainingSettings(**fields)


def _analysis_settings(config: DictConfig) -> AnalysisSettings | None:
    if config.analysis is None:
        return None
    with config_errors_at("analysis"):
        return AnalysisSettings(**{name: value for name, value in config.analysis.items() if name != "functions"})


def _analysis_functions(config: DictConfig) -> dict[str, AnalysisFunction]:
    """The user's functions, with their arguments from the config; what is nested in these is built."""
    functions = {}
    for name, section in ({} if config.analysis is None else config.analysis.functions).items():
        with config_errors_at(f"analysis.functions.{name}"):
            functions[name] = prepare(section)
    return functions


def _model_maker(config: DictConfig, vocab_size: int, sequence_len: int) -> Callable[[PRNGKeyArray], PredictiveModel]:
    section = config.predictive_model.instance
    return lambda key: instantiate(section, vocab_size=vocab_size, sequence_len=sequence_len, key=key)
