"""Processes given by labelled transition matrices: what HMMs and GHMMs have in common.

A process is a set of labelled transition matrices `T[x]`, a row vector `initial_state` and a column vector `normalizer`
`w` with `sum_x T[x] w = w`. A word has the probability `initial_state T[x_1] ... T[x_L] w`. An HMM's `w` is all ones
and its states are distributions over hidden states (belief states); a GHMM's states are predictive vectors, whose
entries may be negative. Both are kept at `state @ w == 1`, so that one set of formulas, below, serves both.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

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
        if isinstance(states, np.ndarray):
            return self._successors_on_host(states, np.asarray(tokens))
        matrices = jnp.asarray(self.transition_matrices, jnp.float32)[tokens]
        after = jnp.einsum("...i,...ij->...j", states, matrices)
        return after / jnp.matmul(after, jnp.asarray(self.normalizer, jnp.float32))[..., None]

    def factor_beliefs(self, states: States) -> tuple[States, ...]:
        """Its own states: it has no factors."""
        return (states,)

    def joint_beliefs(self, states: States) -> States:
        """Its own states: it has no factors."""
        return states

    def as_matrices(self) -> "MatrixProcess":
        """The process itself."""
        return self

    def _successors_on_host(self, states: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        # Token by token: a gathered matrix for each of many states would take far more memory than the states.
        after = np.empty_like(states, dtype=np.float64)
        for token in np.unique(tokens):
            observed = tokens == token
            after[observed] = states[observed] @ self.transition_matrices[token]
        with np.errstate(invalid="ignore", divide="ignore"):
            return after / (after @ self.normalizer)[..., None]
