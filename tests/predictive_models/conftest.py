"""One small model of every kind, with weights large enough for every part to matter."""

from collections.abc import Callable

import equinox as eqx
import jax
import pytest

from simplexity.predictive_models import GRU, LSTM, RNN, PredictiveModel, Transformer

VOCAB_SIZE = 3
LENGTH = 7


def transformer(**changes: object) -> Callable[..., PredictiveModel]:
    arguments = {"model_size": 8, "num_layers": 2, "num_heads": 2, "mlp_size": 12, "positions": "learned"} | changes
    return lambda *, vocab_size, key: Transformer(**arguments, vocab_size=vocab_size, sequence_len=LENGTH, key=key)


def recurrent(kind: type) -> Callable[..., PredictiveModel]:
    return lambda *, vocab_size, key: kind(5, 2, vocab_size=vocab_size, key=key)


MAKERS = {
    "gru": recurrent(GRU),
    "lstm": recurrent(LSTM),
    "rnn": recurrent(RNN),
    "learned": transformer(),
    "rotary": transformer(positions="rotary"),
    "attention_only": transformer(mlp_size=None),
}


@pytest.fixture(scope="session", params=MAKERS)
def model(request: pytest.FixtureRequest) -> PredictiveModel:
    key = jax.random.key(0)
    return randomised(MAKERS[request.param](vocab_size=VOCAB_SIZE, key=key))


def randomised(model: PredictiveModel) -> PredictiveModel:
    """The same model with every weight drawn from a normal distribution, biases and scales too."""
    leaves, structure = jax.tree.flatten(eqx.filter(model, eqx.is_inexact_array))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [0.5 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, drawn), model)


@pytest.fixture(scope="session")
def tokens() -> jax.Array:
    return jax.random.randint(jax.random.key(2), (4, LENGTH), 0, VOCAB_SIZE)
