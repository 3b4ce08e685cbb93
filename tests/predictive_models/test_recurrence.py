"""The recurrent models against scalar loops in numpy, and the derivative of a layer against that of a plain scan."""

import sys
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from simplexity.predictive_models import GRU, LSTM, RNN, Cell, _recurrence
from simplexity.predictive_models._cell import _NARROW, AutodiffCell
from simplexity.predictive_models._recurrence import _FEW_ROWS, LayerWeights, layer_states, recurrence
from simplexity.predictive_models._time_loops import XLALoops

from .minimal_gated_unit import MinimalGatedCell, MinimalGatedUnit

SIZE = 5
CELLS = (GRU.cell, LSTM.cell, RNN.cell)


def _logistic(x: float) -> float:
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


def _logits(model: GRU | LSTM | RNN, tokens: np.ndarray) -> np.ndarray:
    sequence = np.eye(3)[tokens]
    for weights in model.layers:
        W, b, R, c = (np.asarray(array, np.float64) for array in weights)
        h, memory, outputs = np.zeros(SIZE), np.zeros(SIZE), []
        for x in sequence:
            u, v = (x @ W + b).reshape(-1, SIZE), (h @ R + c).reshape(-1, SIZE)
            units = [_unit(type(model), u[:, k], v[:, k], h[k], memory[k]) for k in range(SIZE)]
            h, memory = (np.array(part) for part in zip(*units, strict=True))
            outputs.append(h)
        sequence = np.array(outputs)
    return sequence @ np.asarray(model.head.weight, np.float64).T + np.asarray(model.head.bias)


@pytest.mark.parametrize("model", ["gru", "lstm", "rnn"], indirect=True)
def test_forward_is_the_textbook_recurrence(model: GRU | LSTM | RNN, tokens: jax.Array) -> None:
    row = tokens[0]
    logits, activations = eqx.filter_jit(lambda model: (model(row), model.activations(row)))(model)
    np.testing.assert_allclose(logits, _logits(model, np.asarray(row)), atol=1e-5)
    assert [name for name in activations if "memory" not in name] == ["layer_0", "layer_1"]
    head = model.head
    np.testing.assert_allclose(activations["layer_1"] @ head.weight.T + head.bias, logits, atol=1e-5)


@pytest.mark.parametrize("model", ["lstm"], indirect=True)
def test_the_memory_of_an_lstm_is_an_activation(model: LSTM, tokens: jax.Array) -> None:
    _, activations = eqx.filter_jit(model.forward)(tokens[:1])
    assert list(activations) == ["layer_0.memory", "layer_0", "layer_1.memory", "layer_1"]
    W, b, R, c = (np.asarray(array, np.float64) for array in model.layers[0])
    h, memory = np.zeros(SIZE), np.zeros(SIZE)
    for position, token in enumerate(np.asarray(tokens[0])):
        u, v = (np.eye(3)[token] @ W + b).reshape(-1, SIZE), (h @ R + c).reshape(-1, SIZE)
        units = [_unit(LSTM, u[:, k], v[:, k], h[k], memory[k]) for k in range(SIZE)]
        h, memory = (np.array(part) for part in zip(*units, strict=True))
        np.testing.assert_allclose(activations["layer_0.memory"][0, position], memory, atol=1e-5)
    with pytest.raises(ValueError, match=r"^'layer_0.memory' cannot be edited: nothing after its layer is computed "):
        model.forward(tokens, edit={"layer_0.memory": jnp.zeros_like})


def test_a_training_step_does_not_compute_the_memory() -> None:
    def num_loops(kind: type, function: Callable) -> int:
        model = eqx.filter_eval_shape(kind, SIZE, 1, vocab_size=3, key=jax.random.key(0))
        return (
            jax.jit(function).lower(model, jax.ShapeDtypeStruct((2, 9), jnp.int32)).compile().as_text().count(" while(")
        )

    def gradient(model: LSTM | GRU, tokens: jax.Array) -> object:
        return jax.grad(lambda model: model.forward(tokens)[0].sum())(model)

    assert num_loops(LSTM, gradient) == num_loops(GRU, gradient) > 0

    def forward(model: LSTM | GRU, tokens: jax.Array) -> object:
        return model.forward(tokens)

    assert num_loops(LSTM, forward) == num_loops(GRU, forward) + 1


def test_all_states_of_a_layer_begin_with_its_outputs() -> None:
    @jax.jit
    def compute(key: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
        layer = LSTM(SIZE, 1, vocab_size=3, key=key).layers[0]
        x = jax.random.normal(key, (4, 2, 3))
        return layer_states(LSTM.cell, layer, x), recurrence(LSTM.cell, layer, x)

    (outputs, memory), expected = compute(jax.random.key(0))
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    assert memory.shape == outputs.shape


def test_a_learned_embedding_comes_before_the_first_layer() -> None:
    tokens = jnp.asarray([[0, 2, 1]])

    @eqx.filter_jit
    def compute(key: jax.Array) -> tuple[jax.Array, ...]:
        embedded = GRU(SIZE, 1, 4, vocab_size=3, key=key)
        logits, activations = embedded.forward(tokens)
        assert embedded.embedding is not None
        # A one-hot model whose input weight is the product of both says the same.
        first = embedded.layers[0]
        joined = first._replace(input_weight=embedded.embedding @ first.input_weight)
        one_hot = eqx.tree_at(lambda model: (model.layers, model.embedding), embedded, ((joined,), None))
        return embedded.embedding, activations["embedding"], logits, one_hot.forward(tokens)[0]

    embedding, activation, logits, expected = compute(jax.random.key(0))
    np.testing.assert_allclose(activation, np.asarray(embedding)[np.asarray(tokens)], atol=1e-6)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"^`embedding_size` must be at least 1, got 0$"):
        GRU(SIZE, 1, 0, vocab_size=3, key=jax.random.key(0))


def _plain(cell: Cell, weights: LayerWeights, x: jax.Array) -> jax.Array:
    """The same layer as a scan that calls `cell.step`, for JAX to differentiate as it stands."""
    start = (jnp.zeros((x.shape[1], len(weights.recurrent_weight))),) * cell.num_states

    def step(state: tuple[jax.Array, ...], x_t: jax.Array) -> tuple[tuple[jax.Array, ...], jax.Array]:
        u = jnp.split(x_t @ weights.input_weight + weights.input_bias, cell.num_gates, axis=-1)
        v = jnp.split(state[0] @ weights.recurrent_weight + weights.recurrent_bias, cell.num_gates, axis=-1)
        state = cell.step(tuple(u), tuple(v), state)
        return state, state[0]

    return jax.lax.scan(step, start, x)[1]


# Narrow and wide layers, few and many rows: they are computed in blocks of several gates, or gate by gate.
SHAPES = [
    (4, 3, 2, SIZE),
    (1, 1, 6, SIZE),
    (2, _FEW_ROWS, 2, SIZE),
    (3, 2, 2, _NARROW + 1),
    (2, _FEW_ROWS, 2, _NARROW + 1),
]
# Beside the derivatives by hand, the default one: of a cell that has no other, and of those that have.
CASES = [(cell, shape) for cell in CELLS for shape in SHAPES]
CASES += [(MinimalGatedCell(), shape) for shape in SHAPES[::2]] + [(AutodiffCell(cell), SHAPES[0]) for cell in CELLS]


def _case_id(value: Cell | tuple[int, ...]) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"autodiff of {_case_id(value.cell)}" if isinstance(value, AutodiffCell) else type(value).__name__


@pytest.mark.parametrize(("cell", "shape"), CASES, ids=_case_id)
def test_gradient_is_that_of_plain_autodiff(cell: Cell, shape: tuple[int, int, int, int]) -> None:
    length, batch, in_width, hidden_size = shape
    width = cell.num_gates * hidden_size
    generator = np.random.default_rng(3)
    weight_shapes = [(in_width, width), (width,), (hidden_size, width), (width,)]
    deviation = (SIZE / hidden_size) ** 0.5
    weights = [jnp.asarray(generator.normal(0, deviation, size=shape), jnp.float32) for shape in weight_shapes]
    x = jnp.asarray(generator.normal(size=(length, batch, in_width)), jnp.float32)
    cotangent = jnp.asarray(generator.normal(size=(length, batch, hidden_size)), jnp.float32)

    def differentiate(layer: Callable[..., jax.Array]) -> tuple[jax.Array, tuple[LayerWeights, jax.Array]]:
        outputs, pull_back = jax.vjp(partial(layer, cell), LayerWeights(*weights), x)
        return outputs, pull_back(cotangent)

    both = jax.jit(lambda: (differentiate(recurrence), differentiate(_plain)))()
    (actual, (d_weights, d_x)), (expected, (expected_d_weights, expected_d_x)) = both
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    np.testing.assert_allclose(d_x, expected_d_x, rtol=1e-4, atol=2e-5)
    for name, value, expected_value in zip(d_weights._fields, d_weights, expected_d_weights, strict=True):
        np.testing.assert_allclose(value, expected_value, rtol=1e-4, atol=5e-5, err_msg=name)


@pytest.mark.parametrize(("has_compiler", "reason"), [
    (False, "does not compile their kernels (import of simplexity.predictive_models.gpu_kernels halted"),
    (True, "their kernels need NVIDIA's Ampere or later"),
])  # fmt: skip
def test_without_the_gpu_kernels_compiler_or_a_gpu_for_it_a_layer_takes_xlas_loops(
    has_compiler: bool, reason: str, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # and the device stays a CPU
    if not has_compiler:
        monkeypatch.setitem(sys.modules, "simplexity.predictive_models.gpu_kernels", None)
    _recurrence._gpu_kernels.cache_clear()
    for _ in range(2):
        assert isinstance(_recurrence._loops_for(GRU.cell, 8), XLALoops)
    _recurrence._gpu_kernels.cache_clear()
    assert caplog.text.count("recurrent layers take XLA's loops") == 1
    assert reason in caplog.text


def test_a_model_whose_cell_has_only_a_step_trains() -> None:
    tokens = jnp.arange(4 * 9).reshape(4, 9) % 3  # 0, 1, 2, over and over
    optimizer = optax.adam(0.03)

    @eqx.filter_jit
    def train(key: jax.Array) -> jax.Array:
        def loss_of(model: MinimalGatedUnit) -> jax.Array:
            logits, _ = model.forward(tokens[:, :-1])
            return optax.softmax_cross_entropy_with_integer_labels(logits, tokens[:, 1:]).mean()

        def step(carry: tuple, _: None) -> tuple[tuple, jax.Array]:
            model, state = carry
            loss, gradient = jax.value_and_grad(loss_of)(model)
            update, state = optimizer.update(gradient, state)
            return (eqx.apply_updates(model, update), state), loss

        model = MinimalGatedUnit(SIZE, 1, vocab_size=3, key=key)
        return jax.lax.scan(step, (model, optimizer.init(model)), length=100)[1]

    losses = train(jax.random.key(0))
    assert losses[0] > 0.9
    assert losses[-1] < 0.05


def test_the_gradient_of_a_weight_holds_no_copy_per_sequence() -> None:
    model = eqx.filter_eval_shape(GRU, SIZE, 2, vocab_size=3, key=jax.random.key(0))
    tokens = jax.ShapeDtypeStruct((11, 7), jnp.int32)
    gradient = eqx.filter_grad(lambda model, tokens: model.forward(tokens)[0].sum())
    program = str(jax.make_jaxpr(gradient)(model, tokens))
    assert f"f32[{SIZE},{3 * SIZE}]" in program
    assert f"f32[11,{SIZE},{3 * SIZE}]" not in program


@pytest.mark.parametrize(("kind", "num_gates"), [(GRU, 3), (LSTM, 4), (RNN, 1)])
def test_number_of_parameters(kind: type, num_gates: int) -> None:
    model = eqx.filter_eval_shape(kind, SIZE, 2, vocab_size=3, key=jax.random.key(0))
    first, second = (num_gates * SIZE * (in_width + SIZE + 2) for in_width in (3, SIZE))
    assert sum(leaf.size for leaf in jax.tree.leaves(model)) == first + second + (SIZE + 1) * 3


def test_weights_start_within_their_bound_and_the_key_decides_them() -> None:
    make = eqx.filter_jit(lambda key: GRU(100, 1, vocab_size=3, key=key))
    layer = make(jax.random.key(0)).layers[0]
    for weight in layer:
        assert 0.095 < np.abs(weight).max() <= 0.1
    assert np.std(layer.recurrent_weight) == pytest.approx(0.1 / np.sqrt(3), rel=0.03)
    assert eqx.tree_equal(layer, make(jax.random.key(0)).layers[0])
    assert not eqx.tree_equal(layer, make(jax.random.key(1)).layers[0])


@pytest.mark.parametrize("kind", [GRU, LSTM, RNN])
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 1), "`hidden_size` must be at least 1, got 0"),
        ((4, -1), "`num_layers` must be at least 1, got -1"),
        ((4, 3_000_000_000), "`num_layers` must be at most 1000, got 3000000000"),
        ((3_000_000_000, 1), "`hidden_size` must be at most 16777216, got 3000000000"),
    ],
)
def test_a_size_below_one_is_refused_by_name(kind: type, sizes: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        kind(*sizes, vocab_size=3, key=jax.random.key(0))
