"""What holds for every model."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import PredictiveModel


def _largest_difference(first: object, second: object) -> float:
    differences = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), first, second)
    return max(jax.tree.leaves(differences))


def test_logits_have_a_row_per_position_in_float32(model: PredictiveModel, tokens: jax.Array) -> None:
    logits = model(tokens[0])
    assert logits.shape == (tokens.shape[1], 3)
    assert logits.dtype == jnp.float32


def test_a_token_changes_no_logits_before_it(model: PredictiveModel, tokens: jax.Array) -> None:
    row = tokens[0]
    before = model(row)
    for position in range(len(row)):
        after = model(row.at[position].set((row[position] + 1) % 3))
        np.testing.assert_array_equal(after[:position], before[:position])
        assert not np.allclose(after[position], before[position])


def test_a_batch_is_its_sequences(model: PredictiveModel, tokens: jax.Array) -> None:
    loop = jnp.stack([model(row) for row in tokens])
    logits, activations = model.forward(tokens)
    np.testing.assert_allclose(logits, loop, atol=1e-5)
    np.testing.assert_allclose(jax.vmap(model)(tokens), loop, atol=1e-5)
    for name, values in model.activations(tokens[1]).items():
        np.testing.assert_allclose(activations[name][1], values, atol=1e-5)


def test_gradients_agree_in_every_order_of_transformations(model: PredictiveModel, tokens: jax.Array) -> None:
    def loss(model: PredictiveModel, logits_of, tokens: jax.Array) -> jax.Array:
        return jnp.sin(logits_of(model, tokens)).sum()

    gradient = eqx.filter_grad(loss)
    batched = gradient(model, lambda model, tokens: model.forward(tokens)[0], tokens)
    vmapped = gradient(model, lambda model, tokens: jax.vmap(model)(tokens), tokens)
    each = eqx.filter_vmap(lambda row: gradient(model, lambda model, row: model(row), row))(tokens)
    assert _largest_difference(batched, vmapped) < 1e-4
    assert _largest_difference(batched, jax.tree.map(lambda leaf: leaf.sum(axis=0), each)) < 1e-4
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(batched))


def test_the_gradient_is_bitwise_the_same_every_time(model: PredictiveModel, tokens: jax.Array) -> None:
    gradient = eqx.filter_jit(eqx.filter_grad(lambda model: jnp.sin(model.forward(tokens)[0]).sum()))
    first = gradient(model)
    for _ in range(5):
        assert _largest_difference(first, gradient(model)) == 0


def test_the_key_decides_the_weights() -> None:
    from simplexity.predictive_models import GRU

    def make(seed: int) -> PredictiveModel:
        return GRU(4, 1, vocab_size=3, key=jax.random.key(seed))

    assert eqx.tree_equal(make(0), make(0))
    assert not eqx.tree_equal(make(0), make(1))


@pytest.mark.parametrize("length", [1, 2])
def test_short_sequences_are_prefixes(model: PredictiveModel, tokens: jax.Array, length: int) -> None:
    np.testing.assert_allclose(model(tokens[0, :length]), model(tokens[0])[:length], atol=1e-5)
