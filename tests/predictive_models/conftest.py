"""One small model of every kind, with weights large enough for every part to matter."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import GRU, LSTM, RNN, PredictiveModel, SelectiveSSM, Transformer

from .minimal_gated_unit import MinimalGatedUnit

LENGTH = 7
TRANSFORMER = partial(Transformer, 8, 2, 2, sequence_len=LENGTH)
MAKERS = {
    "gru": partial(GRU, 5, 2),
    "lstm": partial(LSTM, 5, 2),
    "rnn": partial(RNN, 5, 2),
    "embedded": partial(GRU, 5, 2, 4),
    "only_a_step": partial(MinimalGatedUnit, 5, 2),
    "learned": partial(TRANSFORMER, 12, "learned"),
    "rotary": partial(TRANSFORMER, 12, "rotary"),
    "attention_only": partial(TRANSFORMER, None, "learned"),
    "wide_heads": partial(TRANSFORMER, 12, "none", head_size=6, activation="relu", layer_norm=False),
    "selective_ssm": partial(SelectiveSSM, 8, 2, 3, 1, 3),
    "tied": partial(TRANSFORMER, 12, "learned", tied_embedding=True),
}


@pytest.fixture(scope="session", params=MAKERS)
def model(request: pytest.FixtureRequest) -> PredictiveModel:
    """Every weight is drawn here, biases and scales too, so that none of them is a neutral element."""
    shapes = eqx.filter_eval_shape(MAKERS[request.param], vocab_size=3, key=jax.random.key(0))
    generator = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(generator.normal(scale=0.5, size=leaf.shape), leaf.dtype), shapes)


@pytest.fixture(scope="session")
def tokens() -> jax.Array:
    """One row more than a row has tokens: a program for these rows also takes a row with each of its changes."""
    return jnp.asarray(np.random.default_rng(2).integers(3, size=(LENGTH + 1, LENGTH)), dtype=jnp.int32)
