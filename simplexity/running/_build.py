"""From a checked config to the objects of an experiment."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray, UInt32
from omegaconf import DictConfig, OmegaConf

from simplexity.analysis import AnalysisSettings
from simplexity.composition import ConfigError, Problem, config_errors_at, instantiate, prepare, resolve
from simplexity.generative_processes import DataGenerator
from simplexity.predictive_models import PredictiveModel
from simplexity.training import (
    Metrics,
    RunState,
    StepArguments,
    TrainingSettings,
    TrainState,
    ValidationMetrics,
    ValidationSettings,
    check_sequences,
    initial_train_state,
    run_keys,
)

from ._kept_programs import kept_answer, kept_program, structure_of
from ._memory import require_memory
from ._model_check import check_model, key_shape
from ._numbers import Numbers, resolved_text, traced_numbers
from ._optimizer import Hyperparameters, Optimizer, build_optimizer
from ._own_functions import OwnFunctions
from ._process_arguments import as_argument
from ._program import Lowerable, Program, quick_options
from ._saved_programs import saved_program

_Settings = TypeVar("_Settings")


class ModelMaker(NamedTuple):
    """Makes the model that the config names; makers of equal `text`, given equal arguments, make the same.

    Attributes:
        numbers: Numbers of the config, such as the scale of the initial weights, that are arguments of programs.
        text: What the config says but for the numbers.
        make: `make(numbers, key)`.
    """

    numbers: Numbers
    text: str
    make: Callable[[Numbers, PRNGKeyArray], PredictiveModel]


class _StateArguments(NamedTuple):
    """What the state before the first step depends on; `model` is None for a freshly initialised one."""

    model: PredictiveModel | None
    model_numbers: Numbers
    generator: DataGenerator
    hyperparameters: Hyperparameters
    seed: UInt32[Array, ""]


class Experiment(NamedTuple):
    """Everything that a run computes with; what it writes to comes with its run directory."""

    seed: int
    generator: DataGenerator
    validation_generator: DataGenerator
    settings: TrainingSettings
    validation: ValidationSettings | None
    optimizer: Optimizer
    model: ModelMaker
    analysis: AnalysisSettings | None
    analysis_functions: OwnFunctions
    validation_functions: OwnFunctions

    def model_shapes(self) -> PredictiveModel:
        """The model with shapes for arrays, which takes milliseconds."""
        return eqx.filter_eval_shape(lambda key: self.model.make(self.model.numbers, key), key_shape())

    def step_arguments(self) -> StepArguments:
        """The arguments of the training step, with all arrays on the device."""
        return StepArguments(as_argument(self.generator), self.optimizer.hyperparameters)

    @property
    def constants(self) -> Hashable:
        """All that the run's programs are built from, but for their arguments, whose structure counts too."""
        settings = self.settings
        return settings.batch_size, settings.sequence_len, settings.carry_state, self.optimizer.text, self.model.text

    def own_metrics(self, state: RunState, scores: ValidationMetrics) -> Metrics:
        """What the user's own functions find at a validation: the number `kl` of `probe` is `probe.kl`."""
        if not self.validation_functions:
            return {}  # before a pack copies the state for nothing
        results, _ = self.validation_functions(state=state.read(), scores=scores)
        return {f"{function}.{name}": value for function, found in results.items() for name, value in found.items()}

    def initial_state(self) -> TrainState:
        """The state before the first step, with a freshly initialised model.

        Raises:
            RuntimeError: If it takes more memory than there is.
        """
        return self.state_of(None)

    def state_of(self, model: PredictiveModel | None) -> TrainState:
        """The state before the first step of training `model`, or a fresh one if that is None."""
        arguments = _StateArguments(
            model,
            self.model.numbers,
            as_argument(self.generator),
            self.optimizer.hyperparameters,
            jax.device_put(np.uint32(self.seed)),
        )
        # One program, because initialising leaf by leaf compiles dozens of small ones.
        key = ("initial state", self.constants, structure_of(arguments))

        def compiled() -> Program:
            return Lowerable(_state_program(self), compiler_options=quick_options()).lower(arguments).compile()

        program = kept_program(key, lambda: saved_program(key, compiled))
        require_memory(
            program,
            "the model and its optimizer take",
            "choose a smaller model: see `predictive_model.instance`",
        )
        return program(arguments)


def _state_program(experiment: Experiment) -> Callable[[_StateArguments], TrainState]:
    make_model, make_optimizer, settings = experiment.model.make, experiment.optimizer.make, experiment.settings

    def initial_state(arguments: _StateArguments) -> TrainState:
        keys, model = run_keys(arguments.seed), arguments.model
        if model is None:
            model = make_model(arguments.model_numbers, keys.initialization)
        optimizer = make_optimizer(arguments.hyperparameters)
        return initial_train_state(model, optimizer, arguments.generator, settings, key=keys.data)

    return initial_state


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
    _check_kept_checkpoints(config)
    if config.analysis is not None and config.analysis.get("also_without_bos") and generator.bos_token is None:
        message = "must be false: the training data has no BOS (`training_data_generator.bos_token`)"
        raise ConfigError([Problem("analysis.also_without_bos", message)])
    settings = _training_settings(config)
    experiment = Experiment(
        seed=config.seed,
        generator=generator,
        validation_generator=validation_generator,
        settings=settings,
        validation=_without_functions(config, "validation", ValidationSettings),
        optimizer=build_optimizer(config),
        model=_model_maker(config, generator.vocab_size, settings.sequence_len),
        analysis=_without_functions(config, "analysis", AnalysisSettings),
        analysis_functions=_own_functions(config, "analysis"),
        validation_functions=_own_functions(config, "validation"),
    )
    with config_errors_at("training"):
        check_sequences(generator, settings)
        validation_generator.num_drawn(settings.sequence_len)
    with config_errors_at("predictive_model.instance"):
        constructor = resolve(config.predictive_model.instance["_target_"])
        sizes = generator.vocab_size, settings.sequence_len
        make_model = partial(experiment.model.make, {})
        # Under the constructor, which a notebook may define anew.
        key = ("model", constructor, resolved_text(config.predictive_model.instance), sizes)
        kept_answer(key, lambda: check_model(make_model, constructor, *sizes))
    return experiment


def _check_kept_checkpoints(config: DictConfig) -> None:
    """Checks that a run can keep the checkpoints that it is told to keep."""
    checkpointer = config.persistence.instance or {}
    if config.validation is None and checkpointer.get("keep_best"):
        message = "needs validations, by whose loss the best is known: choose validation=default, or set it to false"
        raise ConfigError([Problem("persistence.instance.keep_best", message)])
    for key in ("keep_best", "keep_every_steps"):
        chosen = config.persistence.get("on_complete", "auto")
        if checkpointer.get(key) and chosen in ("weights", "compact"):
            message = f"is {chosen}, which leaves the last step alone, and `persistence.instance.{key}` keeps others"
            raise ConfigError([Problem("persistence.on_complete", f"{message}: set auto or keep")])


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


def _without_functions(config: DictConfig, name: str, make: Callable[..., _Settings]) -> _Settings | None:
    """The settings of a section that may be null, in which the user's own functions stand too."""
    if config[name] is None:
        return None
    with config_errors_at(name):
        return make(**{key: value for key, value in config[name].items() if key != "functions"})


def _own_functions(config: DictConfig, name: str) -> OwnFunctions:
    """The user's functions of a section, with their arguments from the config; what is nested in these is built."""
    functions = {}
    for each, section in ((config[name] or {}).get("functions") or {}).items():
        with config_errors_at(f"{name}.functions.{each}"):
            functions[each] = prepare(section)
    return OwnFunctions(f"{name}.functions", functions)


def _model_maker(config: DictConfig, vocab_size: int, sequence_len: int) -> ModelMaker:
    section = config.predictive_model.instance

    def make(numbers: Numbers, key: PRNGKeyArray) -> Any:  # `check_model` finds out what it is
        return instantiate(section, numbers, vocab_size=vocab_size, sequence_len=sequence_len, key=key)

    def use(numbers: Numbers) -> None:
        key = jax.random.key(0)  # traced, as all that is used here
        if structure_of(make(numbers, key)) != structure_of(make({}, key)):
            raise TypeError("the model keeps the number, and would train it as a parameter if it were an array")

    numbers, text = traced_numbers(section, use, ("model", vocab_size, sequence_len))
    return ModelMaker(numbers, text, make)
