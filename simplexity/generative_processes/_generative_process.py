"""What every generative process can do: filter a sequence, give a word's probability, draw sequences.

A process is a set of labelled transition matrices `T[x]`, a row vector `initial_state` and a column vector `normalizer`
`w` with `sum_x T[x] w = w`. A word has the probability `initial_state T[x_1] ... T[x_L] w`. An HMM's `w` is all ones
and its states are distributions over hidden states (belief states); a GHMM's states are predictive vectors, whose
entries may be negative. Both are kept at `state @ w == 1`, so that one set of formulas, below, serves both.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

# Accelerators multiply float32 matrices in TF32 or bfloat16 unless told otherwise; beliefs need the full mantissa.
_PRECISION = jax.lax.Precision.HIGHEST


class GenerativeProcess(eqx.Module):
    """A stationary or non-stationary stochastic process given by labelled transition matrices.

    The tables are float64 numpy arrays, from which exact quantities are computed on the host. Whatever is traced
    (filtering, sampling) runs in float32. A process may be closed over by a compiled function or passed to one.
    """

    transition_matrices: eqx.AbstractVar[Float[np.ndarray, "vocab from to"]]
    """`T[x, i, j]`: the probability (for an HMM) to emit `x` and move to state `j`, from state `i`."""
    initial_state: eqx.AbstractVar[Float[np.ndarray, " num_states"]]
    normalizer: eqx.AbstractVar[Float[np.ndarray, " num_states"]]
    emissions: eqx.AbstractVar[Float[np.ndarray, "vocab num_states"]]
    """`T[x] w`: what each token's probability is linear in, `state @ emissions[x]`."""
    stationary_state: eqx.AbstractVar[Float[np.ndarray, " num_states"]]
    """The state that the process approaches on average over time from its initial one; unique if it is ergodic."""

    @property
    def vocab_size(self) -> int:
        """The number of tokens."""
        return self.transition_matrices.shape[0]

    @property
    def num_states(self) -> int:
        """The number of hidden states, or the dimension of the predictive vectors."""
        return self.transition_matrices.shape[1]

    def observation_probabilities(self, state: Float[ArrayLike, " num_states"]) -> Float[Array, " vocab"]:
        """The distribution of the next token, `state T[x] w`.

        Args:
            state: A belief state or predictive vector, normalised.

        Returns:
            Probabilities, never negative: what rounding leaves below zero (1e-8) is zero.
        """
        return jnp.maximum(_dot(self.emissions, state), 0.0)

    def update(self, state: Float[ArrayLike, " num_states"], token: Int[ArrayLike, ""]) -> Float[Array, " num_states"]:
        """The state after `token`: `state T[token]`, divided by its mass.

        Args:
            state: A belief state or predictive vector, normalised.
            token: The token observed.

        Returns:
            The normalised state; not a number where an HMM cannot emit `token`, since no state follows.
        """
        successor = _successor(self.transition_matrices, state, token)
        return successor / _dot(successor, self.normalizer)

    def filter(
        self, tokens: Int[ArrayLike, " length"], initial: Float[ArrayLike, " num_states"] | None = None
    ) -> Float[Array, "length+1 num_states"]:
        """The belief states (predictive vectors) along a sequence.

        Args:
            tokens: The sequence observed.
            initial: The state before it; the process's initial state if None.

        Returns:
            The state before the first token, then the one after each token.
        """
        start = jnp.asarray(self.initial_state if initial is None else initial, jnp.float32)

        def step(state, token):
            successor = self.update(state, token)
            return successor, successor

        _, states = jax.lax.scan(step, start, jnp.asarray(tokens))
        return jnp.concatenate([start[None], states])

    def log_word_probability(self, word: Int[ArrayLike, " length"]) -> Float[Array, ""]:
        """The log-probability (nats) that the process, from its initial state, begins with `word`.

        The state is normalised at every token and the logs of the masses are added, so words of thousands of tokens
        neither underflow nor lose digits. A word that an HMM cannot emit has minus infinity; a GHMM's impossible words
        get what float32 rounding leaves of their cancelling terms.
        """

        def step(state, token):
            successor = _successor(self.transition_matrices, state, token)
            mass = jnp.maximum(_dot(successor, self.normalizer), 0.0)
            # After an impossible token the state is zero, and so are all masses that follow: minus infinity, not nan.
            return jnp.where(mass > 0, successor / jnp.where(mass > 0, mass, 1.0), 0.0), mass

        _, masses = jax.lax.scan(step, jnp.asarray(self.initial_state, jnp.float32), jnp.asarray(word))
        return jnp.sum(jnp.log(masses))

    def word_probability(self, word: Int[ArrayLike, " length"]) -> Float[Array, ""]:
        """The probability that the process, from its initial state, begins with `word`; a long word's underflows."""
        return jnp.exp(self.log_word_probability(word))

    def sample_with_beliefs(
        self, batch_size: int, length: int, *, key: PRNGKeyArray
    ) -> tuple[Int[Array, "batch length"], Float[Array, "batch length num_states"]]:
        """Draws fresh sequences, with the belief state (predictive vector) after each of their tokens.

        Args:
            batch_size: The number of sequences.
            length: The number of tokens of each.
            key: The random key.

        Returns:
            The tokens, and beside each the state of one who has seen it and all before it.

        Example:
            >>> import jax
            >>> from simplexity.generative_processes import mess3
            >>> tokens, beliefs = mess3(0.05, 0.85).sample_with_beliefs(4, 10, key=jax.random.key(0))
            >>> tokens.shape, beliefs.shape
            ((4, 10), (4, 10, 3))
        """
        start_key, sample_key = jax.random.split(key)
        start = self.initial_sampling_state(batch_size, key=start_key)
        _, tokens = self.sample(start, length, key=sample_key)
        return tokens, jax.vmap(self.filter)(tokens)[:, 1:]

    @abstractmethod
    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> Any:
        """What `sample` carries for a batch of fresh sequences: hidden states, or predictive vectors."""

    @abstractmethod
    def sample(self, sampling_state: Any, length: int, *, key: PRNGKeyArray) -> tuple[Any, Int[Array, "batch length"]]:
        """Draws the next `length` tokens of every sequence of a batch.

        Args:
            sampling_state: From `initial_sampling_state`, or what an earlier call returned, to continue its sequences.
            length: The number of tokens to draw, static under jit.
            key: The random key.

        Returns:
            The sampling state after the tokens, and the tokens.
        """


def _successor(
    transition_matrices: Float[ArrayLike, "vocab from to"], state: Float[ArrayLike, " from"], token: Int[ArrayLike, ""]
) -> Float[Array, " to"]:
    matrix = jnp.asarray(transition_matrices, jnp.float32)[jnp.asarray(token)]
    return jnp.matmul(jnp.asarray(state, jnp.float32), matrix, precision=_PRECISION)


def _dot(left: Float[ArrayLike, "*rows num_states"], right: Float[ArrayLike, " num_states"]) -> Float[Array, "*rows"]:
    return jnp.matmul(jnp.asarray(left, jnp.float32), jnp.asarray(right, jnp.float32), precision=_PRECISION)
