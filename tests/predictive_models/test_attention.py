"""Causal attention and its derivative by hand against the plain formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import _attention
from simplexity.predictive_models._attention import attention_pattern, causal_attention


# One block, a full one, and several of which the last is short: there the largest score need not be subtracted.
@pytest.mark.parametrize(("length", "largest_score"), [(1, 0), (7, 0), (128, 0), (300, 0), (300, 1000)])
def test_causal_attention_and_its_gradient_are_the_plain_formula(length, largest_score, monkeypatch):
    monkeypatch.setattr(_attention, "_LARGEST_SCORE", largest_score)
    shape = (2, length, 3, 4)
    queries, keys, values, direction = jax.random.normal(jax.random.key(0), (4, *shape))

    def plain(queries, keys, values):
        mixed = jnp.einsum("bhts,bshe->bthe", attention_pattern(queries, keys), values)
        return jnp.vdot(mixed, direction), mixed

    def in_blocks(queries, keys, values):
        mixed = causal_attention(queries, keys, values)
        return jnp.vdot(mixed, direction), mixed

    (expected, found) = (
        jax.jit(jax.grad(function, argnums=(0, 1, 2), has_aux=True))(5 * queries, keys, values)
        for function in (plain, in_blocks)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, expected)


def test_large_scores_neither_overflow_nor_hide_the_largest():
    keys = jnp.array([100.0, 200.0, 0.0])[None, :, None, None]
    values = jnp.array([1.0, 2.0, 3.0])[None, :, None, None]
    mixed = causal_attention(jnp.full_like(keys, 10), keys, values)
    np.testing.assert_array_equal(mixed.ravel(), [1, 2, 2])


@pytest.mark.parametrize("size", [1e-20, 1.0, 6.3, 6.4, 1e15, jnp.nan], ids=str)
@pytest.mark.parametrize("length", [3, 300])
def test_equal_scores_of_any_size_make_equal_weights(size, length):
    # One unit, so a score is the product of two sizes: 39.7 and 41 are at both sides of what is not subtracted.
    x = jnp.full((1, length, 1, 1), float(size))
    values = jnp.arange(1.0, length + 1)[None, :, None, None]
    mixed, gradient = jax.value_and_grad(lambda x: causal_attention(x, -x, values).sum())(x)
    means = jnp.full(length, jnp.nan) if jnp.isnan(size) else (1 + jnp.arange(1.0, length + 1)) / 2
    np.testing.assert_allclose(causal_attention(x, -x, values).ravel(), means, rtol=1e-5)
    np.testing.assert_allclose(mixed, means.sum(), rtol=1e-5)
    assert bool(jnp.isnan(gradient).any()) == bool(jnp.isnan(size))
