"""Generalized hidden Markov models, sampled by their predictive vectors."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._checks import ROW_SUM_TOLERANCE, check_shape, check_state_length, check_words
from ._long_run import left_fixed_vectors, long_run_state, unique_stationary_state
from ._matrix_process import MatrixProcess

# A float32 predictive vector leaves about 1e-7 where exact cancellation leaves zero: less than this is not drawn.
LEAST_PROBABILITY = 1e-6


class GHMM(MatrixProcess):
    """A generalized hidden Markov model: matrices of any sign that still give every word a probability.

    The matrices summed over tokens have the dominant eigenvalue 1; its right eigenvector is the normaliser. Every
    state `eta`, the initial one and later ones, is kept at `eta @ normalizer == 1`. There are no hidden states to draw,
    so sequences are drawn by their predictive vectors.
    """

    transition_matrices: Float[np.ndarray, "vocab from to"]
    initial_state: Float[np.ndarray, " num_states"]
    normalizer: Float[np.ndarray, " num_states"]
    emissions: Float[np.ndarray, "vocab num_states"]
    stationary_state: Float[np.ndarray, " num_states"]

    def __init__(
        self,
        transition_matrices: Float[np.ndarray, "vocab from to"],
        initial_state: Float[np.ndarray, " num_states"] | None = None,
        normalizer: Float[np.ndarray, " num_states"] | None = None,
    ) -> None:
        """Checks the matrices, finds the normaliser, and normalises the initial state.

        Args:
            transition_matrices: Summed over tokens they have the dominant eigenvalue 1 (to 1e-6, then made exact).
            initial_state: A row vector, whose scale does not matter; None for the stationary one.
            normalizer: The right eigenvector; None where the matrices determine it: it is all ones if the rows sum to
                one, else unique for an ergodic process, scaled so that its largest entry is one.

        Raises:
            ValueError: If some short word would have a negative probability, or if the stationary state or the
                normaliser is left out and not unique.
        """
        check_shape(transition_matrices)
        matrices = _with_eigenvalue_one(transition_matrices.astype(np.float64))
        summed = matrices.sum(axis=0)
        if normalizer is None:
            normalizer = _right_eigenvector(summed)
        else:
            check_normalizer(summed, normalizer)
        if initial_state is None:
            initial_state = unique_stationary_state(summed)
        else:
            check_state_length(initial_state, len(summed))
        initial_state = normalized(initial_state, normalizer)
        check_words(matrices, initial_state, normalizer)

        self.transition_matrices = matrices
        self.initial_state = initial_state
        self.normalizer = normalizer
        self.emissions = matrices @ normalizer
        self.stationary_state = normalized(long_run_state(summed, initial_state), normalizer)

    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> Float[Array, "batch num_states"]:
        """The initial predictive vector for every sequence; nothing about it is random."""
        return jnp.tile(jnp.asarray(self.initial_state, jnp.float32), (batch_size, 1))

    def sample(
        self, sampling_state: Float[Array, "batch num_states"], length: int, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, "batch num_states"], Int[Array, "batch length"]]:
        """Draws `length` tokens from each predictive vector; returns the vectors after them, and the tokens."""
        uniforms = jax.random.uniform(key, (length, sampling_state.shape[0]))

        def step(states, uniform):
            probabilities = jax.vmap(self.observation_probabilities)(states)
            tokens = draw_tokens(probabilities, uniform, LEAST_PROBABILITY)
            return jax.vmap(self.update)(states, tokens), tokens

        states, tokens = jax.lax.scan(step, sampling_state, uniforms)
        return states, tokens.T


def check_normalizer(summed: Float[np.ndarray, "n n"], normalizer: Float[np.ndarray, " n"]) -> None:
    """Raises ValueError unless the vector is a right eigenvector of the eigenvalue 1."""
    if normalizer.shape != (len(summed),) or not np.allclose(summed @ normalizer, normalizer, atol=1e-8):
        raise ValueError(
            "`normalizer` must be a right eigenvector of the summed `transition_matrices` with the eigenvalue 1, "
            f"got {normalizer.tolist()}"
        )


def dominant_eigenvalue(summed: Float[np.ndarray, "n n"]) -> complex:
    """The eigenvalue of largest magnitude; the one nearest to the positive axis where several have it."""
    eigenvalues = np.linalg.eigvals(summed)
    largest = eigenvalues[np.abs(eigenvalues) > (1 - 1e-9) * np.abs(eigenvalues).max()]
    return complex(largest[np.argmax(np.real(largest))])


def _with_eigenvalue_one(matrices: Float[np.ndarray, "vocab from to"]) -> Float[np.ndarray, "vocab from to"]:
    eigenvalue = dominant_eigenvalue(matrices.sum(axis=0))
    if abs(eigenvalue - 1) > ROW_SUM_TOLERANCE:
        shown = f"{eigenvalue.real:.7g}" if abs(eigenvalue.imag) < ROW_SUM_TOLERANCE else f"{eigenvalue:.7g}"
        raise ValueError(
            "`transition_matrices` of a GHMM, summed over tokens, must have the dominant eigenvalue 1, got " + shown
        )
    # An eigenvalue that is already one to rounding is left alone: a division would only spoil the last digits.
    return matrices if abs(eigenvalue - 1) < 1e-12 else matrices / eigenvalue.real


def _right_eigenvector(summed: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    if np.abs(summed.sum(axis=1) - 1).max() < 1e-9:
        return np.ones(len(summed))
    fixed = left_fixed_vectors(summed.T)
    if len(fixed) != 1:
        raise ValueError(
            "`normalizer` must be given: the right eigenvector of the eigenvalue 1 is not unique "
            f"(the summed `transition_matrices` have {len(fixed)} independent ones)"
        )
    return fixed[0] / fixed[0][np.argmax(np.abs(fixed[0]))]


def normalized(
    state: Float[np.ndarray, " num_states"], normalizer: Float[np.ndarray, " num_states"]
) -> Float[np.ndarray, " num_states"]:
    """The state, scaled to `state @ normalizer == 1`; raises ValueError if it cannot be."""
    mass = state @ normalizer
    if abs(mass) < 1e-9 * max(np.abs(state).max(), 1e-300):
        raise ValueError(f"`initial_state` must not be orthogonal to the normalizer, got {state.tolist()}")
    return state / mass


def draw_tokens(
    probabilities: Float[Array, "batch vocab"], uniforms: Float[Array, " batch"], least: float
) -> Int[Array, " batch"]:
    """One token per row: the first possible one at which the cumulative probability passes the uniform number.

    Args:
        probabilities: Of the tokens.
        uniforms: In [0, 1).
        least: Only tokens of more probability than this are possible.
    """
    possible = probabilities > least
    cumulative = jnp.cumsum(jnp.where(possible, probabilities, 0.0), axis=-1)
    passed = cumulative > uniforms[:, None] * cumulative[:, -1:]
    tokens = jnp.arange(probabilities.shape[-1])
    # The first possible token that passed ranks highest; if rounding let none pass, the last possible one does.
    rank = jnp.where(possible, jnp.where(passed, 2 * len(tokens) - tokens, tokens), -1)
    return jnp.argmax(rank, axis=-1)
