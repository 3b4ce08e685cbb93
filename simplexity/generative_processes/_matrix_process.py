"""Processes given by labelled transition matrices: what HMMs and GHMMs have in common.

A process is a set of labelled transition matrices `T[x]`, a row vector `initial_state` and a column vector `normalizer`
`w` with `sum_x T[x] w = w`. A word has the probability `initial_state T[x_1] ... T[x_L] w`. An HMM's `w` is all ones
and its states are distributions over hidden states (belief states); a GHMM's states are predictive vectors, whose
entries may be negative. Both are kept at `state @ w == 1`, so that one set of formulas, below, serves both.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._generative_process import GenerativeProcess, States


class MatrixProcess(GenerativeProcess):
    """A stationary or non-stationary stochastic process given by labelled transition matrices."""

    transition_matrices: eqx.AbstractVar[Float[np.ndarray, "vocab from to"]]
    """`T[x, i, j]`: the probability (for an HMM) to emit `x` and move to state `j`, from state `i`."""
    normalizer: eqx.AbstractVar[Float[np.ndarray, " num_states"]]
    emissions: eqx.AbstractVar[Float[np.ndarray, "vocab num_states"]]
    """`T[x] w`: what each token's probability is linear in, `state @ emissions[x]`."""
    stationary_state: eqx.AbstractVar[Float[np.ndarray, " num_states"]]
    """The state that the process approaches on average over time from its initial one; unique if it is ergodic."""

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return self.transition_matrices.shape[0]

    def token_probabilities(self, states: States) -> States:
        """The distribution of the next token, `state T[x] w`."""
        if isinstance(states, np.ndarray):
            return np.maximum(states @ self.emissions.T, 0.0)
        return jnp.maximum(jnp.matmul(states, jnp.asarray(self.emissions, jnp.float32).T), 0.0)

    def successors(self, states: States, tokens: States) -> States:
        """The states after one token each: `state T[token]`, divided by its mass."""
        return matrix_successors(states, self.transition_matrices, tokens, self.normalizer)

    def factor_beliefs(self, states: States) -> tuple[States, ...]:
        """Its own states: it has no factors."""
        return (states,)

    def joint_beliefs(self, states: States) -> States:
        """Its own states: it has no factors."""
        return states

    def as_matrices(self) -> "MatrixProcess":
        """The process itself."""
        return self


def matrix_successors(
    states: States,
    matrices: Float[np.ndarray | Array, "labels from to"],
    labels: States,
    normalizer: Float[np.ndarray | Array, " to"],
) -> States:
    """The states after one matrix each, divided by their masses.

    Args:
        states: Normalised states (*rows, from).
        matrices: The matrices to choose from.
        labels: Which matrix each state is multiplied by (*rows).
        normalizer: What the mass of a state is measured by.

    Returns:
        The normalised states (*rows, to); not a number where the mass is zero.
    """
    if not isinstance(states, np.ndarray):
        after = jnp.einsum("...i,...ij->...j", states, jnp.asarray(matrices, jnp.float32)[labels])
        return after / jnp.matmul(after, jnp.asarray(normalizer, jnp.float32))[..., None]
    # Label by label: a gathered matrix for each of many states would take far more memory than the states.
    chosen, after = np.asarray(labels), np.empty_like(states, dtype=np.float64)
    for label in np.flatnonzero(np.bincount(chosen.ravel())):
        rows = chosen == label
        after[rows] = states[rows] @ matrices[label]
    with np.errstate(invalid="ignore", divide="ignore"):
        return after / (after @ normalizer)[..., None]
