"""Hidden Markov models, sampled by their hidden states."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, PRNGKeyArray, UInt32

from ._categorical_table import CategoricalTable
from ._checks import check_distribution, check_entries, check_rows, check_shape, check_state_length
from ._long_run import long_run_state, unique_stationary_state
from ._matrix_process import MatrixProcess

# Up to this many states a GPU draws a successor for every state at once. It spends its time on starting operations, so
# the arithmetic for the other states costs nothing.
_FEW_STATES = 32


class HMM(MatrixProcess):
    """A hidden Markov model (edge-emitting): `T[x, i, j] = P(emit x, move to j | at i)`.

    Sequences are drawn by their hidden states: one draw per token from the joint table of (token, next state), with all
    random bits drawn at once, and no belief update. That is several times quicker than to filter while sampling. A GPU
    draws the same tokens without a loop over them.
    """

    transition_matrices: Float[np.ndarray, "vocab from to"]
    initial_state: Float[np.ndarray, " num_states"]
    normalizer: Float[np.ndarray, " num_states"]
    emissions: Float[np.ndarray, "vocab num_states"]
    stationary_state: Float[np.ndarray, " num_states"]
    _initial_table: CategoricalTable
    _joint_table: CategoricalTable

    def __init__(
        self,
        transition_matrices: Float[np.ndarray, "vocab from to"],
        initial_state: Float[np.ndarray, " num_states"] | None = None,
    ) -> None:
        """Checks the matrices and prepares the tables to draw from.

        Args:
            transition_matrices: Non-negative; summed over tokens, every row sums to one (to 1e-6, then made exact).
            initial_state: A distribution over the hidden states; None for the stationary one.

        Raises:
            ValueError: If they are no HMM, or if the initial state is left out and the stationary one is not unique.
        """
        check_shape(transition_matrices)
        check_entries(transition_matrices)
        check_rows(transition_matrices)
        row_sums = transition_matrices.sum(axis=(0, 2))
        matrices = transition_matrices.astype(np.float64) / row_sums[:, None]
        summed = matrices.sum(axis=0)
        num_states = len(summed)
        if initial_state is None:
            initial_state = _distribution(unique_stationary_state(summed))
        else:
            check_state_length(initial_state, num_states)
            check_distribution(initial_state)
            initial_state = _distribution(initial_state.astype(np.float64))

        self.transition_matrices = matrices
        self.initial_state = initial_state
        self.normalizer = np.ones(num_states)
        self.emissions = matrices @ self.normalizer
        self.stationary_state = _distribution(long_run_state(summed, initial_state))
        self._initial_table = CategoricalTable(initial_state[None])
        # Outcome number token * num_states + next_state.
        self._joint_table = CategoricalTable(matrices.transpose(1, 0, 2).reshape(num_states, -1))

    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> Int[Array, " batch"]:
        """Hidden states drawn from the initial distribution."""
        bits = jax.random.bits(key, (batch_size,), jnp.uint32)
        return self._initial_table.draw(jnp.zeros(batch_size, jnp.int32), bits)

    def sample(
        self, sampling_state: Int[Array, " batch"], length: int, *, key: PRNGKeyArray
    ) -> tuple[Int[Array, " batch"], Int[Array, "batch length"]]:
        """Draws `length` tokens from each hidden state; returns the hidden states after them, and the tokens."""
        bits = jax.random.bits(key, (length, *sampling_state.shape), jnp.uint32)
        if jax.default_backend() == "gpu" and self.num_states <= _FEW_STATES:
            return self._sample_all_at_once(sampling_state, bits)
        return self._sample_one_by_one(sampling_state, bits)

    def _sample_one_by_one(
        self, sampling_state: Int[Array, " batch"], bits: UInt32[Array, "length batch"]
    ) -> tuple[Int[Array, " batch"], Int[Array, "batch length"]]:
        num_states = self.num_states

        def step(states: Int32[Array, " batch"], step_bits):
            outcomes = self._joint_table.draw(states, step_bits)
            return outcomes % num_states, outcomes

        states, outcomes = jax.lax.scan(step, sampling_state, bits)
        return states, (outcomes // num_states).T

    def _sample_all_at_once(
        self, sampling_state: Int[Array, " batch"], bits: UInt32[Array, "length batch"]
    ) -> tuple[Int[Array, " batch"], Int[Array, "batch length"]]:
        """The same tokens in a number of operations that grows with the logarithm of the length.

        A token's bits map the state before it to the state after it. These maps are drawn for all states, and then
        composed: with the map before it, with those of two tokens before it, of four, and so on.

        References:
            Hillis and Steele, "Data Parallel Algorithms" (1986), on sums of prefixes.
        """
        num_states = self.num_states
        shape = (*bits.shape, num_states)
        before = jnp.broadcast_to(jnp.arange(num_states, dtype=jnp.int32), shape)
        outcomes = self._joint_table.draw(before, jnp.broadcast_to(bits[..., None], shape))
        after = outcomes % num_states
        num_composed = 1
        while num_composed < len(bits):
            composed = jnp.take_along_axis(after[num_composed:], after[:-num_composed], axis=-1)
            after = jnp.concatenate((after[:num_composed], composed))
            num_composed *= 2
        states = jnp.take_along_axis(after, sampling_state[None, :, None], axis=-1)[..., 0]
        states_before = jnp.concatenate((sampling_state[None], states[:-1]))
        drawn = jnp.take_along_axis(outcomes, states_before[..., None], axis=-1)[..., 0]
        return states[-1], (drawn // num_states).T


def _distribution(vector: Float[np.ndarray, " num_states"]) -> Float[np.ndarray, " num_states"]:
    """The vector scaled to a distribution, without what rounding leaves on transient states (1e-17 of either sign)."""
    scaled = vector / vector.sum()
    scaled = np.where(scaled > 1e-14, scaled, 0.0)
    return scaled / scaled.sum()
