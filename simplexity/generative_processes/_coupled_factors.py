"""Factors whose matrices are chosen by the tokens that other factors emit at the same time."""

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._factors import join_states, joint_matrices, outer_product, split_states
from ._generative_process import GenerativeProcess, States
from ._ghmm import LEAST_PROBABILITY, draw_tokens
from ._matrix_process import MatrixProcess, matrix_successors

# States that are followed to see whether each of them has a possible token.
_MOST_FOLLOWED, _MOST_TOKENS = 4096, 24
_IMPOSSIBLE = 1e-12


class CoupledFactors(GenerativeProcess):
    """Factors that each apply to their own state a matrix which the joint token chooses.

    From the states `s_1 ... s_n`, a joint token `x` has a probability proportional to the product over factors of
    `s_i T_i[x] w_i`, and is followed by the states `s_i T_i[x]`, normalised. A state of the whole is the factors'
    states one after another: given the tokens so far, the factors are known one by one.
    """

    matrices: tuple[Float[np.ndarray, "_ _ _"], ...]
    """Of each factor: those of all its variants, one after another."""
    emissions: tuple[Float[np.ndarray, "_ _"], ...]
    """Of each factor: its matrices times its normaliser."""
    labels: tuple[Int[np.ndarray, " vocab"], ...]
    """Of each factor: which of its matrices each joint token chooses."""
    normalizers: tuple[Float[np.ndarray, " _"], ...]
    initial_states: tuple[Float[np.ndarray, " _"], ...]
    initial_state: Float[np.ndarray, " num_states"]
    needs_division: bool = eqx.field(static=True)
    """Whether the products over factors do not sum to one by themselves."""
    least_drawn: float = eqx.field(static=True)
    """Tokens of no more probability are never drawn: what rounding leaves of cancelling terms of both signs."""

    def __init__(
        self, variants: Sequence[Sequence[MatrixProcess]], choices: Sequence[Int[np.ndarray, " vocab"]], chain: bool
    ) -> None:
        """Stacks the variants' matrices.

        Args:
            variants: Of each factor, alike in their numbers of tokens and states and in their normalisers.
            choices: Of each factor: the variant that each joint token chooses.
            chain: Whether each factor is chosen for by factors before it only, so that probabilities sum to one.

        Raises:
            ValueError: If in some state, soon after the initial ones, no joint token is possible.
        """
        vocab_sizes = [own[0].vocab_size for own in variants]
        digits = np.unravel_index(np.arange(math.prod(vocab_sizes)), vocab_sizes)
        self.matrices = tuple(np.concatenate([variant.transition_matrices for variant in own]) for own in variants)
        self.emissions = tuple(np.concatenate([variant.emissions for variant in own]) for own in variants)
        self.labels = tuple(
            choice * size + digit for choice, size, digit in zip(choices, vocab_sizes, digits, strict=True)
        )
        self.normalizers = tuple(own[0].normalizer for own in variants)
        self.initial_states = tuple(own[0].initial_state for own in variants)
        self.initial_state = np.concatenate(self.initial_states)
        self.needs_division = not chain
        self.least_drawn = 0.0 if all((matrices >= 0).all() for matrices in self.matrices) else LEAST_PROBABILITY
        if self.needs_division:
            self.check_possible()

    @property
    def vocab_size(self) -> int:
        """The product of the factors' numbers of tokens."""
        return len(self.labels[0])

    def token_probabilities(self, states: States) -> States:
        """The product of the factors' probabilities, divided by their sum over joint tokens."""
        products = self._products(states)
        if not self.needs_division:
            return products
        with np.errstate(invalid="ignore", divide="ignore"):
            return products / products.sum(axis=-1)[..., None]  # pyright: ignore[reportReturnType]

    def successors(self, states: States, tokens: States) -> States:
        """Each factor's state after the matrix that the joint token chooses."""
        return join_states(
            [
                matrix_successors(part, matrices, _at(labels, tokens), normalizer)
                for part, matrices, labels, normalizer in zip(
                    self._split(states), self.matrices, self.labels, self.normalizers, strict=True
                )
            ]
        )

    def factor_beliefs(self, states: States) -> tuple[States, ...]:
        """The state of each factor."""
        return tuple(self._split(states))

    def joint_beliefs(self, states: States) -> States:
        """The outer product of the factors' states."""
        return outer_product(self._split(states))

    def as_matrices(self) -> MatrixProcess | None:
        """Of a chain the Kronecker products of the chosen matrices, while they are small.

        Where probabilities are divided by a sum that depends on the state, no fixed matrices exist.
        """
        if self.needs_division:
            return None
        return joint_matrices(list(zip(self.matrices, self.labels, strict=True)), self.initial_states, self.normalizers)

    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> Float[Array, "batch num_states"]:
        """The initial state for every sequence; nothing about it is random."""
        return jnp.tile(jnp.asarray(self.initial_state, jnp.float32), (batch_size, 1))

    def sample(
        self, sampling_state: Float[Array, "batch num_states"], length: int, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, "batch num_states"], Int[Array, "batch length"]]:
        """Draws `length` joint tokens from each state; returns the states after them, and the tokens."""
        uniforms = jax.random.uniform(key, (length, sampling_state.shape[0]))

        def step(states, uniform):
            probabilities = jax.vmap(self.observation_probabilities)(states)
            tokens = draw_tokens(probabilities, uniform, self.least_drawn)
            return jax.vmap(self.update)(states, tokens), tokens

        states, tokens = jax.lax.scan(step, sampling_state, uniforms)
        return states, tokens.T

    def _split(self, states: States) -> list[States]:
        return split_states(states, [len(state) for state in self.initial_states])

    def _products(self, states: States) -> States:
        result = None
        for part, emissions, labels in zip(self._split(states), self.emissions, self.labels, strict=True):
            if isinstance(part, np.ndarray):
                own = np.maximum(part @ emissions.T, 0.0)[..., labels]
            else:
                own = jnp.maximum(jnp.matmul(part, jnp.asarray(emissions, jnp.float32).T), 0.0)[..., labels]
            result = own if result is None else result * own
        return result  # pyright: ignore[reportReturnType]

    def check_possible(self) -> None:
        """Raises ValueError if in some state, soon after the initial ones, no joint token is possible."""
        states = self.initial_state[None]
        for _ in range(_MOST_TOKENS):
            products = self._products(states)
            if (products.sum(axis=1) < _IMPOSSIBLE).any():
                raise ValueError(
                    "`control_maps` must leave a possible joint token in every state, but after some tokens the "
                    "factors' variants exclude all of them"
                )
            rows, tokens = np.nonzero(products > _IMPOSSIBLE)
            if len(rows) > _MOST_FOLLOWED:
                return
            states = self.successors(states[rows], tokens)


def _at(labels: Int[np.ndarray | Array, " vocab"], tokens: States) -> States:
    if isinstance(tokens, np.ndarray):
        return labels[tokens]  # pyright: ignore[reportReturnType]
    return jnp.asarray(labels)[tokens]
