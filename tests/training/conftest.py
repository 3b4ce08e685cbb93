"""One small run, compiled once for all tests of training."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import optax.contrib
import pytest
from jaxtyping import Array

from simplexity.generative_processes import DataGenerator, mess3, product, tom_quantum
from simplexity.predictive_models import GRU
from simplexity.training import (
    ReduceOnValidationPlateau,
    StepArguments,
    TrainingSettings,
    TrainState,
    TrainSteps,
    initial_train_state,
    make_optimizer,
    make_train_steps,
    run_keys,
)
from tests.training.compilation import optimized


class Run(NamedTuple):
    """A run before its first step; `fresh` makes a state, because a step donates the one that it is given."""

    settings: TrainingSettings
    generator: DataGenerator
    optimizer_of: Callable[[Array], optax.GradientTransformation]
    arguments: StepArguments
    train_steps: TrainSteps
    initialize: Callable[[], TrainState]

    def fresh(self) -> TrainState:
        return self.initialize()


def adam_of(rate: Array) -> optax.GradientTransformation:
    return make_optimizer(optax.adam(rate), None, None)


def plateau_optimizer_of(rate: Array) -> optax.GradientTransformation:
    """Any loss is a plateau, so the rate falls every three steps."""
    plateau = optax.contrib.reduce_on_plateau(factor=0.9, patience=1, rtol=0.99, accumulation_size=3)
    return make_optimizer(optax.adam(rate), plateau, None)


# Any loss is a plateau but for the first, so the rate falls at every validation.
VALIDATION_PLATEAU = ReduceOnValidationPlateau(0.5, patience=1, rtol=0.99, atol=0.0, cooldown=0, min_scale=0.0)


def validation_plateau_optimizer_of(rate: Array) -> optax.GradientTransformation:
    return make_optimizer(optax.adam(rate), VALIDATION_PLATEAU, None)


def settings_of(carry_state: bool, num_train_steps: int) -> TrainingSettings:
    return TrainingSettings(
        num_train_steps=num_train_steps,
        batch_size=4,
        sequence_len=6,
        log_every=10,
        carry_state=carry_state,
        gradient_clip_norm=None,
    )


GENERATORS = {
    "mess3": DataGenerator(mess3(0.05, 0.85), None, None),
    # Hidden states of one factor and predictive vectors of the other are carried from batch to batch.
    "product": DataGenerator(product([mess3(0.05, 0.85), tom_quantum(1.0, 3.0)]), None, None),
}


@lru_cache
def programs(
    carry_state: bool, process: str, optimizer_of: Callable[[Array], optax.GradientTransformation]
) -> tuple[Callable[[StepArguments, TrainState, int], TrainState], Callable[[], TrainState]]:
    """The compiled steps and the compiled initialisation: runs that differ in rate and length share them.

    The default run's steps are compiled as a user's are, the others quickly.
    """
    generator, settings = GENERATORS[process], settings_of(carry_state, num_train_steps=40)
    is_default = (carry_state, process, optimizer_of) == (False, "mess3", adam_of)
    compilation = optimized if is_default else nullcontext

    @eqx.filter_jit
    def initialize() -> TrainState:
        keys = run_keys(seed=0)
        model = GRU(4, 1, vocab_size=generator.vocab_size, key=keys.initialization)
        return initial_train_state(model, optimizer_of(jnp.zeros(())), generator, settings, key=keys.data)

    with compilation():
        compiled = make_train_steps(optimizer_of, settings, eqx.filter_eval_shape(initialize).model)

    def train_steps(arguments: StepArguments, state: TrainState, num_steps: int) -> TrainState:
        with compilation():
            return compiled(arguments, state, jnp.asarray(num_steps, jnp.int32))

    return train_steps, initialize


def make_run(
    carry_state: bool = False,
    learning_rate: float = 0.01,
    num_train_steps: int = 40,
    process: str = "mess3",
    optimizer_of: Callable[[Array], optax.GradientTransformation] = adam_of,
) -> Run:
    train_steps, initialize = programs(carry_state, process, optimizer_of)
    arguments = StepArguments(GENERATORS[process], jnp.asarray(learning_rate))
    settings = settings_of(carry_state, num_train_steps)
    return Run(settings, arguments.generator, optimizer_of, arguments, partial(train_steps, arguments), initialize)


@pytest.fixture(scope="session")
def run() -> Run:
    return make_run()


def arrays_of(state) -> list[bytes]:
    """The bytes of every array of a pytree."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if isinstance(leaf, jax.Array)]
    raw = [
        jax.random.key_data(leaf) if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf for leaf in leaves
    ]
    return [jax.device_get(leaf).tobytes() for leaf in raw]


@pytest.fixture(scope="session")
def same_bits():
    """Whether two pytrees are equal bit for bit."""
    return lambda a, b: arrays_of(a) == arrays_of(b)
