"""One small run, compiled once for all tests of training."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest
from jaxtyping import Array

from simplexity.generative_processes import DataGenerator, mess3
from simplexity.predictive_models import GRU
from simplexity.training import (
    TrainingSettings,
    TrainState,
    TrainSteps,
    initial_train_state,
    make_optimizer,
    make_train_steps,
    run_keys,
)


class Run(NamedTuple):
    """A run before its first step; `fresh` makes a state, because a step donates the one that it is given."""

    settings: TrainingSettings
    generator: DataGenerator
    optimizer_of: Callable[[Array], optax.GradientTransformation]
    learning_rate: Array
    train_steps: TrainSteps
    initialize: Callable[[], TrainState]

    def fresh(self) -> TrainState:
        return self.initialize()


def make_run(carry_state: bool = False, learning_rate: float = 0.01, num_train_steps: int = 40) -> Run:
    settings = TrainingSettings(
        num_train_steps=num_train_steps,
        batch_size=4,
        sequence_len=6,
        log_every=10,
        carry_state=carry_state,
        gradient_clip_norm=None,
    )
    generator = DataGenerator(mess3(0.05, 0.85), None, None)
    rate = jnp.asarray(learning_rate)

    def optimizer_of(rate: Array) -> optax.GradientTransformation:
        return make_optimizer(optax.adam(rate), None, settings.gradient_clip_norm)

    @eqx.filter_jit
    def initialize() -> TrainState:
        keys = run_keys(seed=0)
        model = GRU(4, 1, vocab_size=generator.vocab_size, key=keys.initialization)
        return initial_train_state(model, optimizer_of(rate), generator, settings, key=keys.data)

    train_steps = partial(make_train_steps(generator, optimizer_of, settings), rate)
    return Run(settings, generator, optimizer_of, rate, train_steps, initialize)


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
