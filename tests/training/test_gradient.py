"""Gradient accumulation over micro-batches against the whole batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.predictive_models import MicroBatch
from simplexity.training._gradient import mean_over_micro_batches, num_micro_batches


@pytest.mark.parametrize(
    ("num_rows", "tokens_per_row", "size", "number"),
    [
        (4, 8, MicroBatch(), 1),  # small as it is
        (32, 64, MicroBatch(), 1),  # just fits
        (33, 64, MicroBatch(), 3),
        (128, 64, MicroBatch(), 4),
        (128, 64, MicroBatch(most_tokens=512), 16),
        (2, 2048, MicroBatch(), 2),
        (8, 1024, MicroBatch(most_tokens=512), 8),  # a row is the least
        (16, 1024, MicroBatch(fewest_rows=8), 2),
        (128, 64, MicroBatch(fewest_rows=8), 4),
        (1, 9999, MicroBatch(), 1),  # cannot be divided
        (127, 64, MicroBatch(), 1),  # only into single rows
    ],
)
def test_micro_batches_are_equal_and_neither_large_nor_tiny(num_rows, tokens_per_row, size, number):
    assert num_micro_batches(num_rows, tokens_per_row, size) == number


@pytest.mark.parametrize("number", [1, 3, 6])
def test_the_mean_over_micro_batches_is_the_mean_and_so_is_its_gradient(number):
    def mean(weight, tokens):
        return jnp.mean((weight * tokens) ** 2)

    function = jax.value_and_grad(mean)
    tokens = jnp.arange(12).reshape(6, 2)
    found = jax.jit(mean_over_micro_batches(function, number))(jnp.float32(3), tokens)
    np.testing.assert_allclose(found, function(jnp.float32(3), tokens), rtol=1e-6)
