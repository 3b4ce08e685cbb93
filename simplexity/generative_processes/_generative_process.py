"""What every generative process can do: predict the next token, follow a sequence, draw sequences.

Training, validation, optima, words and analysis need no more of a process than this. What an observer knows after some
tokens is a *state*, a vector of fixed length; two functions say all about it:

- `token_probabilities(states)`: the distribution of the next token;
- `successors(states, tokens)`: the states after one token more.

Both take any number of states at once. From NumPy arrays they compute in float64 on the host (optima, words, analysis);
from JAX arrays in float32, also where a compiled function is traced (validation). Filtering, the probabilities of words
and sampled belief states follow from them. The initial state, the vocabulary and the way to draw sequences complete it.

What a state is differs:

- `MatrixProcess` (HMM, GHMM): a belief state or predictive vector, updated by labelled transition matrices.
- `Product` (independent factors): the factors' states one after another. Three factors of 3 states have 9 numbers, and
  not 27, and no Kronecker product is ever formed.
- `CoupledFactors` (chain, conditioned): also the factors' states one after another, since a joint token tells each
  factor which of its matrices to apply.
- `NoisyProduct`: noise on the joint token makes the factors dependent, so here the state is the joint one.
- `Mixture` (components without small matrices): the posterior over components, and each one's own state.

The exact quantities use what a process is made of (`_myopic_entropy.py`): a product's entropies are the sums of its
factors', a small composite is written out as matrices (`as_matrices`), and any other is walked by its states, exactly
while these are few and then by drawn words with a stated error (`_filtered_entropy.py`).
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

if TYPE_CHECKING:
    from ._matrix_process import MatrixProcess

States = TypeVar("States", np.ndarray, Array)
"""A NumPy array or a JAX array, whose last axis is a state; the other axes are rows."""


class GenerativeProcess(eqx.Module):
    """A stochastic process over tokens whose next-token distribution, given the past, is known exactly.

    The tables are float64 numpy arrays. A process may be closed over by a compiled function or passed to one. Training
    passes it, so that processes which differ only in numbers share one compiled program: `sample` and the functions of
    JAX arrays must not ask for the values of a table. What a program depends on is a static field.
    """

    initial_state: eqx.AbstractVar[Float[np.ndarray, " num_states"]]
    """What an observer knows before the first token."""

    @property
    @abstractmethod
    def vocab_size(self) -> int:
        """The number of tokens."""

    @property
    def num_states(self) -> int:
        """The length of a state: an HMM's number of hidden states, the sum of the lengths of a product's factors."""
        return len(self.initial_state)

    @abstractmethod
    def token_probabilities(self, states: States) -> States:
        """The distribution of the next token.

        Args:
            states: Normalised states (*rows, num_states).

        Returns:
            Probabilities (*rows, vocab), never negative: what rounding leaves below zero is zero.
        """

    @abstractmethod
    def successors(self, states: States, tokens: States) -> States:
        """The states after one token each.

        Args:
            states: Normalised states (*rows, num_states).
            tokens: The token observed after each of them (*rows).

        Returns:
            The normalised states (*rows, num_states); not a number where a token is impossible, since no state follows.
        """

    @abstractmethod
    def factor_beliefs(self, states: States) -> tuple[States, ...]:
        """The belief state of each factor, (*rows, factor's states) each; of a process without factors its own."""

    @abstractmethod
    def joint_beliefs(self, states: States) -> States:
        """The belief state of all factors together, (*rows, product of the factors' numbers of states).

        The first factor's state is the most significant. Where factors are independent given the past, it is the outer
        product of `factor_beliefs`. Of a process without factors it is its own belief state.
        """

    @abstractmethod
    def as_matrices(self) -> "MatrixProcess | None":
        """The same process as an HMM or GHMM; None if its matrices would be large, or if no finite ones exist."""

    @abstractmethod
    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> Any:
        """What `sample` carries for a batch of fresh sequences, such as hidden states or predictive vectors."""

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

    def observation_probabilities(self, state: Float[ArrayLike, " num_states"]) -> Float[Array, " vocab"]:
        """The distribution of the next token, as `token_probabilities` of one state, in float32.

        Args:
            state: A normalised state.
        """
        # Accelerators multiply float32 matrices in TF32 or bfloat16 unless told otherwise; beliefs need all digits.
        with jax.default_matmul_precision("highest"):
            return self.token_probabilities(jnp.asarray(state, jnp.float32))

    def update(self, state: Float[ArrayLike, " num_states"], token: Int[ArrayLike, ""]) -> Float[Array, " num_states"]:
        """The state after `token`, as `successors` of one state, in float32.

        Args:
            state: A normalised state.
            token: The token observed.
        """
        with jax.default_matmul_precision("highest"):
            return self.successors(jnp.asarray(state, jnp.float32), jnp.asarray(token))

    def filter(
        self, tokens: Int[ArrayLike, " length"], initial: Float[ArrayLike, " num_states"] | None = None
    ) -> Float[Array, "length+1 num_states"]:
        """The states (belief states, predictive vectors) along a sequence.

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

        The state is normalised at every token and the logs of the tokens' probabilities are added, so words of
        thousands of tokens neither underflow nor lose digits. A word that an HMM cannot emit has minus infinity; a
        GHMM's impossible words get what float32 rounding leaves of their cancelling terms.
        """

        def step(state, token):
            probability = self.observation_probabilities(state)[token]
            # No state follows an impossible token: any one keeps the sum at minus infinity, and not a number would not.
            return jnp.where(probability > 0, self.update(state, token), state), probability

        _, probabilities = jax.lax.scan(step, jnp.asarray(self.initial_state, jnp.float32), jnp.asarray(word))
        return jnp.sum(jnp.log(probabilities))

    def word_probability(self, word: Int[ArrayLike, " length"]) -> Float[Array, ""]:
        """The probability that the process, from its initial state, begins with `word`; a long word's underflows."""
        return jnp.exp(self.log_word_probability(word))

    def sample_with_beliefs(
        self, batch_size: int, length: int, *, key: PRNGKeyArray
    ) -> tuple[Int[Array, "batch length"], Float[Array, "batch length num_states"]]:
        """Draws fresh sequences, with the state (belief state, predictive vector) after each of their tokens.

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
