"""The recurrent models against scalar loops in numpy, and their derivative against plain autodiff."""

from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import GRU, LSTM, RNN, PredictiveModel
from simplexity.predictive_models._gru import _GRUCell
from simplexity.predictive_models._lstm import _LSTMCell
from simplexity.predictive_models._recurrence import Cell, initial_weights, recurrence
from simplexity.predictive_models._rnn import _ElmanCell

CELLS = [_GRUCell(), _LSTMCell(), _ElmanCell()]
KINDS = [GRU, LSTM, RNN]
SIZE = 5


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _unit(kind: type, u: np.ndarray, v: np.ndarray, h: float, c: float) -> tuple[float, float]:
    """One unit's next output and memory from what arrives at its gates, in the order of the models' docstrings."""
    if kind is RNN:
        return np.tanh(u[0] + v[0]), c
    if kind is GRU:
        r, z = _logistic(u[0] + v[0]), _logistic(u[1] + v[1])
        return (1 - z) * np.tanh(u[2] + r * v[2]) + z * h, c
    i, f, g, o = u + v
    c = _logistic(f) * c + _logistic(i) * np.tanh(g)
    return _logistic(o) * np.tanh(c), c


def _logits(model: PredictiveModel, tokens: np.ndarray) -> np.ndarray:
    stack = model.stack
    sequence = np.eye(3)[tokens]
    for weights in stack.layers:
        W, b, R, c = (np.asarray(array, np.float64) for array in weights)
        h, memory, outputs = np.zeros(SIZE), np.zeros(SIZE), []
        for x in sequence:
            u, v = (x @ W + b).reshape(-1, SIZE), (h @ R + c).reshape(-1, SIZE)
            units = [_unit(type(model), u[:, k], v[:, k], h[k], memory[k]) for k in range(SIZE)]
            h, memory = (np.array(part) for part in zip(*units, strict=True))
            outputs.append(h)
        sequence = np.array(outputs)
    return sequence @ np.asarray(stack.head.weight, np.float64).T + np.asarray(stack.head.bias)


@pytest.mark.parametrize("kind", KINDS)
def test_forward_is_the_textbook_recurrence(kind: type, tokens: jax.Array) -> None:
    model = kind(SIZE, 3, vocab_size=3, key=jax.random.key(3))
    np.testing.assert_allclose(eqx.filter_jit(model)(tokens[0]), _logits(model, np.asarray(tokens[0])), atol=2e-6)


def _plain(cell: Cell, weights: tuple, x: jax.Array) -> jax.Array:
    """The same layer as a Python loop, for JAX to differentiate without our derivative."""
    state = (jnp.zeros((x.shape[1], SIZE)),) * cell.num_states
    outputs = []
    for x_t in x:
        u = jnp.split(x_t @ weights[0] + weights[1], cell.num_gates, axis=-1)
        v = jnp.split(state[0] @ weights[2] + weights[3], cell.num_gates, axis=-1)
        state, _ = cell.step(tuple(u), tuple(v), state)
        outputs.append(state[0])
    return jnp.stack(outputs)


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize(("length", "batch", "in_width"), [(6, 4, 3), (1, 1, 2)])
def test_gradient_is_that_of_plain_autodiff(cell: Cell, length: int, batch: int, in_width: int) -> None:
    weights_key, x_key, cotangent_key = jax.random.split(jax.random.key(4), 3)
    weights = initial_weights(cell, in_width, SIZE, key=weights_key)
    x = jax.random.normal(x_key, (length, batch, in_width))
    cotangent = jax.random.normal(cotangent_key, (length, batch, SIZE))

    @partial(jax.jit, static_argnums=0)
    def differentiate(layer: Callable) -> tuple:
        outputs, pull_back = jax.vjp(partial(layer, cell), weights, x)
        return outputs, pull_back(cotangent)

    actual, (d_weights, d_x) = differentiate(recurrence)
    expected, (expected_d_weights, expected_d_x) = differentiate(_plain)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    np.testing.assert_allclose(d_x, expected_d_x, atol=1e-5)
    for name, value, expected_value in zip(d_weights._fields, d_weights, expected_d_weights, strict=True):
        np.testing.assert_allclose(value, expected_value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("kind", "num_gates"), [(GRU, 3), (LSTM, 4), (RNN, 1)])
def test_number_of_parameters(kind: type, num_gates: int) -> None:
    model = kind(SIZE, 2, vocab_size=3, key=jax.random.key(0))
    first, second = (num_gates * SIZE * (in_width + SIZE + 2) for in_width in (3, SIZE))
    assert sum(leaf.size for leaf in jax.tree.leaves(model)) == first + second + (SIZE + 1) * 3


@pytest.mark.parametrize("kind", KINDS)
def test_activations_are_the_layers_outputs(kind: type, tokens: jax.Array) -> None:
    model = kind(SIZE, 2, vocab_size=3, key=jax.random.key(0))
    logits, activations = eqx.filter_jit(lambda row: (model(row), model.activations(row)))(tokens[0])
    assert list(activations) == ["layer_0", "layer_1"]
    np.testing.assert_allclose(model.stack.head(activations["layer_1"]), logits, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_start_within_their_bound(kind: type) -> None:
    layer = kind(100, 1, vocab_size=3, key=jax.random.key(0)).stack.layers[0]
    for weight in layer:
        assert 0.08 < np.abs(weight).max() <= 0.1
    assert np.std(layer.recurrent_weight) == pytest.approx(0.1 / np.sqrt(3), rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "name"), [((0, 1), "hidden_size"), ((4, 0), "num_layers"), ((-1, 1), "hidden_size")]
)
def test_a_size_below_one_is_refused_by_name(kind: type, arguments: tuple[int, int], name: str) -> None:
    with pytest.raises(ValueError, match=f"^`{name}` must be at least 1, got {min(arguments)}$"):
        kind(*arguments, vocab_size=3, key=jax.random.key(0))
