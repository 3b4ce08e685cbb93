"""The draw's edges: no bits select an outcome of probability zero, and every outcome gets its share of the bits."""

import jax.numpy as jnp
import numpy as np
import pytest

from simplexity.generative_processes._categorical_table import CategoricalTable


@pytest.mark.parametrize(
    "row", [[0.0, 1.0, 0.0], [0.0, 0.1, 0.2, 0.0, 0.7, 0.0], [0.1] * 10, [0.0, 1e-40, 1 - 1e-40]], ids=str
)
def test_the_extreme_bits_draw_possible_outcomes(row):
    table = CategoricalTable(np.array([row]))
    possible = np.flatnonzero(row)
    bits = jnp.array([0, 1, 2**31, 2**32 - 2, 2**32 - 1], jnp.uint32)
    outcomes = table.draw(jnp.zeros(5, jnp.int32), bits)
    assert set(outcomes.tolist()) <= set(possible.tolist())
    assert outcomes[-1] == possible[-1]


def test_shares_of_the_bits_are_the_probabilities():
    probabilities = np.array([[0.5, 0.0, 0.25, 0.125, 0.125], [0.0, 0.2, 0.0, 0.3, 0.5]])
    table = CategoricalTable(probabilities)
    # A grid of bits hits every outcome in proportion.
    grid = (np.arange(4000, dtype=np.uint64) * 2**32 // 4000).astype(np.uint32)
    rows = jnp.repeat(jnp.arange(2, dtype=jnp.int32), 4000)
    outcomes = np.asarray(table.draw(rows, jnp.asarray(np.tile(grid, 2))))
    for drawn, expected in zip(outcomes.reshape(2, 4000), probabilities, strict=True):
        np.testing.assert_allclose(np.bincount(drawn, minlength=5) / 4000, expected, atol=1 / 4000)
