"""The transformer against an implementation in numpy that loops over heads and positions."""

import re
from math import erf, sqrt
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import Transformer
from simplexity.predictive_models._attention import rotate
from simplexity.predictive_models._linear import TiedHead

TRANSFORMERS = pytest.mark.parametrize(
    "model", ["learned", "rotary", "attention_only", "wide_heads", "tied"], indirect=True
)


_SIZES: dict = {"model_size": 8, "num_layers": 2, "num_heads": 2, "mlp_size": 12, "positions": "learned"}


def _make(**changes: Any) -> Transformer:
    return Transformer(**(_SIZES | changes), vocab_size=3, sequence_len=7, key=jax.random.key(0))


def _affine(linear, x: np.ndarray) -> np.ndarray:
    return x @ np.asarray(linear.weight, np.float64) + np.asarray(linear.bias)


def _norm(norm, x: np.ndarray) -> np.ndarray:
    if norm is None:
        return x
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + 1e-5) * np.asarray(norm.scale) + np.asarray(norm.shift)


def _turn(vector: np.ndarray, position: int) -> np.ndarray:
    """Each pair of coordinates as a complex number, times a phase."""
    half = len(vector) // 2
    phases = np.exp(1j * position * 10000.0 ** (-np.arange(half) / half))
    turned = (vector[:half] + 1j * vector[half:]) * phases
    return np.concatenate((turned.real, turned.imag))


def _attend(attention, x: np.ndarray) -> np.ndarray:
    length = len(x)
    queries, keys, values = np.split(_affine(attention.queries_keys_values, x), 3, axis=-1)
    size = queries.shape[1] // attention.num_heads
    mixed = np.zeros_like(queries)
    for head in range(attention.num_heads):
        own = slice(head * size, (head + 1) * size)
        turn = _turn if attention.rotary else lambda vector, position: vector
        for t in range(length):
            scores = [turn(queries[t, own], t) @ turn(keys[s, own], s) / sqrt(size) for s in range(t + 1)]
            weights = np.exp(scores) / np.exp(scores).sum()
            mixed[t, own] = weights @ values[: t + 1, own]
    return _affine(attention.output, mixed)


def _gelu(x: float) -> float:
    return x * (1 + erf(x / sqrt(2))) / 2


def _logits(model: Transformer, tokens: np.ndarray) -> np.ndarray:
    x = np.asarray(model.embedding, np.float64)[tokens]
    if model.positions is not None:
        x = x + np.asarray(model.positions)[: len(tokens)]
    for block in model.blocks:
        x = x + _attend(block.attention, np.array([_norm(block.attention_norm, row) for row in x]))
        if block.mlp is not None:
            activation = _gelu if block.mlp.activation == "gelu" else lambda value: max(value, 0)
            inner = _affine(block.mlp.inner, np.array([_norm(block.mlp_norm, row) for row in x]))
            hidden = np.vectorize(activation, otypes=[float])(inner)
            x = x + _affine(block.mlp.output, hidden)
    x = np.array([_norm(model.final_norm, row) for row in x])
    weight = model.embedding if isinstance(model.head, TiedHead) else model.head.weight
    return x @ np.asarray(weight, np.float64).T + np.asarray(model.head.bias)


@TRANSFORMERS
def test_forward_is_the_textbook_transformer(model: Transformer, tokens: jax.Array) -> None:
    row = tokens[0]
    logits, activations = eqx.filter_jit(lambda model: (model(row), model.activations(row)))(model)
    np.testing.assert_allclose(logits, _logits(model, np.asarray(row)), rtol=1e-4, atol=2e-5)
    kinds = ["attention"] if model.blocks[0].mlp is None else ["attention", "mlp"]
    parts = [f"layer_{index}.{kind}" for index in range(2) for kind in kinds]
    layers = [[f"layer_{index}.{kind}" for kind in kinds] + [f"layer_{index}"] for index in range(2)]
    outputs = {name: values for name, values in activations.items() if "/" not in name}
    last = [] if model.final_norm is None else ["final_norm"]
    assert list(outputs) == ["embedding", *layers[0], *layers[1], *last]
    assert all(values.shape == (7, 8) for values in outputs.values())
    total = sum((activations[name] for name in parts), start=activations["embedding"])
    np.testing.assert_allclose(activations["layer_1"], total, rtol=1e-4, atol=2e-5)


@TRANSFORMERS
def test_activations_inside_of_a_layer_are_those_that_it_computes_with(model: Transformer, tokens: jax.Array) -> None:
    logits, activations = eqx.filter_jit(model.forward)(tokens)
    attention = model.blocks[1].attention
    pattern, values = activations["layer_1.attention/pattern"], activations["layer_1.attention/values"]
    assert pattern.shape == (len(tokens), 2, 7, 7)
    np.testing.assert_allclose(pattern.sum(axis=-1), 1, atol=1e-6)
    assert not np.triu(pattern[0, 0], 1).any()
    mixed = np.einsum("bhts,bshe->bthe", pattern, values).reshape(*tokens.shape, -1)
    np.testing.assert_allclose(_affine(attention.output, mixed), activations["layer_1.attention"], atol=1e-4)
    np.testing.assert_array_equal(activations["layer_1/before_attention"], activations["layer_0"])
    if (mlp := model.blocks[1].mlp) is not None:
        before = activations["layer_1/before_attention"] + activations["layer_1.attention"]
        np.testing.assert_allclose(activations["layer_1/before_mlp"], before, atol=1e-5)
        hidden = np.asarray(activations["layer_1.mlp/hidden"])
        np.testing.assert_allclose(_affine(mlp.output, hidden), activations["layer_1.mlp"], atol=1e-4)
    # Computing from the pattern, as an edit of it does, changes nothing that the edit does not.
    unchanged = eqx.filter_jit(model.forward)(tokens, edit={"layer_1.attention/pattern": lambda pattern: pattern})
    np.testing.assert_allclose(unchanged[0], logits, atol=1e-4)


@pytest.mark.parametrize("model", ["learned"], indirect=True)
def test_ablated_heads_add_only_the_bias(model: Transformer, tokens: jax.Array) -> None:
    _, activations = eqx.filter_jit(model.forward)(tokens, edit={"layer_0.attention/values": jnp.zeros_like})
    bias = np.broadcast_to(model.blocks[0].attention.output.bias, (*tokens.shape, 8))
    np.testing.assert_allclose(activations["layer_0.attention"], bias, atol=1e-6)


def test_rotated_products_depend_on_the_distance_alone() -> None:
    query, key = jnp.asarray(np.random.default_rng(1).normal(size=(2, 6)), dtype=jnp.float32)
    turn = jax.jit(rotate)
    queries, keys = (np.asarray(turn(jnp.broadcast_to(vector, (9, 1, 6))))[:, 0] for vector in (query, key))
    products = queries @ keys.T
    for distance in range(-8, 9):
        diagonal = np.diagonal(products, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-5)
    assert np.ptp(products) > 0.1
    np.testing.assert_allclose(products[0, 0], query @ key, rtol=1e-5)


@pytest.mark.parametrize("mlp_size", [12, None])
@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_number_of_parameters(mlp_size: int | None, positions: str) -> None:
    width = 8
    attention = 4 * width * (width + 1) + 2 * width
    mlp = 0 if mlp_size is None else mlp_size * (2 * width + 1) + width + 2 * width
    ends = 3 * width + 2 * width + (width + 1) * 3 + (7 * width if positions == "learned" else 0)
    model = eqx.filter_eval_shape(_make, mlp_size=mlp_size, positions=positions)
    assert sum(leaf.size for leaf in jax.tree.leaves(model)) == 2 * (attention + mlp) + ends


def test_weights_start_as_in_gpt_2() -> None:
    block = eqx.filter_jit(_make)(model_size=128, num_layers=2, mlp_size=256).blocks[0]
    assert block.mlp is not None
    assert np.std(block.attention.queries_keys_values.weight) == pytest.approx(0.02, rel=0.03)
    # Four parts add to the residual stream.
    for output in (block.attention.output, block.mlp.output):
        assert np.std(output.weight) == pytest.approx(0.02 / 2, rel=0.03)


def test_weights_start_with_the_deviation_that_is_asked_for() -> None:
    model = eqx.filter_jit(_make)(model_size=128, mlp_size=256, initialization=0.3)
    block = model.blocks[1]
    for weights in (block.attention.queries_keys_values.weight, block.attention.output.weight, model.head.weight):
        assert np.std(weights) == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_size": 0}, "`model_size` must be at least 1, got 0"),
        ({"num_layers": 0}, "`num_layers` must be at least 1, got 0"),
        ({"num_layers": 1001}, "`num_layers` must be at most 1000, got 1001"),
        ({"mlp_size": 2**40}, f"`mlp_size` must be at most 16777216, got {2**40}"),
        ({"num_heads": 0}, "`num_heads` must be at least 1, got 0"),
        ({"num_heads": 3}, "`num_heads` must divide `model_size` = 8 unless `head_size` is set, got 3"),
        ({"head_size": 0}, "`head_size` must be at least 1, got 0"),
        ({"initialization": 0.0}, "`initialization` must be gpt2 or a positive number, got 0.0"),
        ({"mlp_size": 0}, "`mlp_size` must be at least 1, or null for attention only, got 0"),
        ({"num_heads": 8, "positions": "rotary"}, "heads must have an even size with rotary positions, got 1"),
    ],
)
def test_bad_arguments_are_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        _make(**changes)


def test_learned_positions_end_and_rotary_ones_go_on() -> None:
    def logits(positions: Literal["learned", "rotary"]) -> jax.Array:
        return _make(positions=positions)(jnp.zeros(8, dtype=int))

    with pytest.raises(ValueError, match="learned `positions` end at `sequence_len` = 7, got a sequence of 8 tokens"):
        eqx.filter_eval_shape(logits, "learned")
    assert eqx.filter_eval_shape(logits, "rotary").shape == (8, 3)
