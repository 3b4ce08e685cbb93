"""Gradient accumulation over micro-batches against the whole batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.training._gradient import mean_over_micro_batches, num_micro_batches


@pytest.mark.parametrize(
    ("num_rows", "tokens_per_row", "number"),
    [
        (4, 8, 1),  # small as it is
        (32, 64, 1),  # just fits
        (33, 64, 3),
        (128, 64, 4),
        (2, 2048, 2),
        (1, 9999, 1),  # cannot be divided
        (127, 64, 1),  # only into single rows
    ],
)
def test_micro_batches_are_equal_and_neither_large_nor_tiny(num_rows, tokens_per_row, number):
    assert num_micro_batches(num_rows, tokens_per_row) == number


@pytest.mark.parametrize("number", [1, 3, 6])
def test_the_mean_over_micro_batches_is_the_mean_and_so_is_its_gradient(number):
    def mean(weight, tokens):
        return jnp.mean((weight * tokens) ** 2)

    function = jax.value_and_grad(mean)
    tokens = jnp.arange(12).reshape(6, 2)
    found = jax.jit(mean_over_micro_batches(function, number))(jnp.float32(3), tokens)
    np.testing.assert_allclose(found, function(jnp.float32(3), tokens), rtol=1e-6)
