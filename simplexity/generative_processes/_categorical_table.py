"""Exact and fast draws from fixed categorical distributions, one per row of a table."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt32


class CategoricalTable(eqx.Module):
    """Categorical distributions, one per row, from which 32 random bits draw an outcome.

    The cumulative probabilities are kept as 32-bit integers and compared with the random bits as they come, so every
    probability is right to 2^-32, finer than a float32 uniform (2^-23). Only outcomes of positive probability are in
    the table: whatever the bits and the rounding, none of zero probability can be drawn. The search is a binary one
    over a padded row, a few fused gathers per draw; that was as quick on a CPU as any other way for rows of a few
    outcomes and several times quicker for rows of hundreds.
    """

    thresholds: UInt32[np.ndarray, "rows width_minus_one"]
    outcomes: Int32[np.ndarray, "rows width"]

    def __init__(self, probabilities: Float[np.ndarray, "rows outcomes"]) -> None:
        supports = [np.flatnonzero(row > 0) for row in probabilities]
        # A power of two, so that every draw takes the same number of comparisons.
        width = 1 << (max(map(len, supports)) - 1).bit_length()
        thresholds = np.full((len(supports), width - 1), 2**32 - 1, np.uint32)
        outcomes = np.empty((len(supports), width), np.int32)
        for row, support in enumerate(supports):
            cumulative = np.cumsum(probabilities[row, support])[:-1]
            thresholds[row, : len(cumulative)] = np.minimum(np.rint(cumulative * 2**32), 2**32 - 1)
            outcomes[row, : len(support)] = support
            # Padding repeats the last outcome: bits that reach the padding still draw something possible.
            outcomes[row, len(support) :] = support[-1]
        self.thresholds = thresholds
        self.outcomes = outcomes

    def draw(self, rows: Int32[Array, "*shape"], bits: UInt32[Array, "*shape"]) -> Int32[Array, "*shape"]:
        """One outcome per row index, drawn by the random bits beside it."""
        width = self.outcomes.shape[1]
        thresholds = jnp.asarray(self.thresholds).reshape(-1)
        position = jnp.zeros_like(rows)
        step = width // 2
        while step:
            # The threshold before position + step lies at or below the bits: the outcome lies at or after it.
            passed = thresholds[rows * (width - 1) + position + (step - 1)] <= bits
            position = jnp.where(passed, position + step, position)
            step //= 2
        return jnp.asarray(self.outcomes).reshape(-1)[rows * width + position]
