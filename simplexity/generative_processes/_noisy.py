"""Noise: processes whose tokens are sometimes replaced by uniform ones."""

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._checks import check_interval
from ._factors import split_tokens
from ._generative_process import GenerativeProcess, States
from ._ghmm import GHMM
from ._hmm import HMM
from ._matrix_process import MatrixProcess
from ._product import Product


class NoisyProduct(GenerativeProcess):
    """A product whose joint token is replaced by a uniform one with a given probability.

    Whether a token was replaced concerns all factors at once, so given the past they are no longer independent. The
    state is the joint one, with a number for each combination of the factors' states. It is multiplied by the factors'
    matrices one after another, each on its own axis, so no Kronecker product is formed.
    """

    base: Product
    factors: tuple[MatrixProcess, ...]
    epsilon: Float[np.ndarray, ""]
    initial_state: Float[np.ndarray, " num_states"]

    def __init__(self, base: Product, factors: Sequence[MatrixProcess], epsilon: float) -> None:
        """Takes the factors' initial states together.

        Args:
            base: The product, from which sequences are drawn.
            factors: Its factors as matrices.
            epsilon: The probability that a token is replaced.
        """
        self.base, self.factors, self.epsilon = base, tuple(factors), np.asarray(epsilon)
        self.initial_state = reduce(np.kron, [factor.initial_state for factor in factors])

    @property
    def vocab_size(self) -> int:
        """That of the product."""
        return self.base.vocab_size

    def token_probabilities(self, states: States) -> States:
        """With the probability `1 - epsilon` that of the product, else uniform."""
        undisturbed = self._on_each_axis(states, [factor.emissions.T for factor in self.factors])
        positive = (abs(undisturbed) + undisturbed) / 2
        return (1 - self.epsilon) * positive + self.epsilon / self.vocab_size  # pyright: ignore[reportReturnType]

    def successors(self, states: States, tokens: States) -> States:
        """The states of an observer who does not know whether the token was replaced."""
        digits = split_tokens(tokens, self.base.vocab_sizes)
        numpy_like = np if isinstance(states, np.ndarray) else jnp
        chosen = [
            numpy_like.asarray(factor.transition_matrices, states.dtype)[digit]
            for factor, digit in zip(self.factors, digits, strict=True)
        ]
        kept = self._on_each_axis(states, chosen)
        replaced = self._on_each_axis(states, [factor.transition_matrices.sum(axis=0) for factor in self.factors])
        after = (1 - self.epsilon) * kept + self.epsilon / self.vocab_size * replaced
        mass = self._on_each_axis(after, [factor.normalizer[:, None] for factor in self.factors])
        return after / mass  # pyright: ignore[reportReturnType]

    def factor_beliefs(self, states: States) -> tuple[States, ...]:
        """The marginal state of each factor."""

        def marginal(kept: int) -> States:
            tables = [factor.normalizer[:, None] for factor in self.factors]
            tables[kept] = np.eye(self.factors[kept].num_states)
            return self._on_each_axis(states, tables)

        return tuple(marginal(index) for index in range(len(self.factors)))

    def joint_beliefs(self, states: States) -> States:
        """The states themselves."""
        return states

    def as_matrices(self) -> MatrixProcess | None:
        """The product's matrices with noise, while they are small."""
        matrices = self.base.as_matrices()
        return None if matrices is None else _noisy_matrices(matrices, float(self.epsilon))

    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> Any:
        """That of the product."""
        return self.base.initial_sampling_state(batch_size, key=key)

    def sample(self, sampling_state: Any, length: int, *, key: PRNGKeyArray) -> tuple[Any, Int[Array, "batch length"]]:
        """Draws tokens of the product, and replaces some."""
        sample_key, choice_key, noise_key = jax.random.split(key, 3)
        sampling_state, tokens = self.base.sample(sampling_state, length, key=sample_key)
        is_replaced = jax.random.bernoulli(choice_key, self.epsilon, tokens.shape)
        noise = jax.random.randint(noise_key, tokens.shape, 0, self.vocab_size, tokens.dtype)
        return sampling_state, jnp.where(is_replaced, noise, tokens)

    def _on_each_axis(self, states: States, tables: Sequence[Any]) -> States:
        """The joint states (*rows, num_states), each factor's axis multiplied by a table of that factor.

        A table has the shape (factor's states, outcomes), or one for each row before these axes. The result has the
        shape (*rows, product of the outcomes).
        """
        numpy_like: Any = np if isinstance(states, np.ndarray) else jnp
        rows = states.shape[:-1]
        tensor = states.reshape(*rows, *[factor.num_states for factor in self.factors])
        for table in tables:
            # This factor's axis is the first; multiplied, it becomes the last. After all factors the order is restored.
            front = numpy_like.moveaxis(tensor, len(rows), -1)
            others = front.shape[len(rows) : -1]
            flat = front.reshape(*rows, math.prod(others), front.shape[-1])
            product = numpy_like.matmul(flat, numpy_like.asarray(table, states.dtype))
            tensor = product.reshape(*rows, *others, product.shape[-1])
        return tensor.reshape(*rows, -1)  # pyright: ignore[reportReturnType]


def noisy(process: GenerativeProcess, epsilon: float, level: Literal["joint", "factor"] = "joint") -> GenerativeProcess:
    """A process each of whose tokens is replaced, with the probability `epsilon`, by a uniform one.

    The hidden states evolve as if nothing had been replaced: the matrices are `(1 - epsilon) T[x] + epsilon / V sum_y
    T[y]`, with `V` the number of tokens. A uniform token may happen to be the right one. The stationary distribution is
    that of the process.

    Args:
        process: An HMM, a GHMM, a product of these, or another composite of small matrices.
        epsilon: The probability that a token is replaced, in [0, 1].
        level: "joint" replaces the whole token of a product, which makes its factors dependent given the past: the
            state then has a number for each combination of the factors' states. "factor" replaces each factor's token
            by itself, and the factors stay independent. Of a process without factors both are the same.

    Returns:
        Of an HMM or GHMM another one, of a product a product or a process with joint states.

    Raises:
        ValueError: If `epsilon` lies outside its domain, or the process is none of these.

    References:
        Shai et al., Transformers learn factored representations (2026), arXiv:2602.02385: noise on the joint token.
    """
    check_interval(0.0, 1.0, epsilon=epsilon)
    if isinstance(process, Product):
        if level == "factor":
            return Product([noisy(factor, epsilon, level) for factor in process.factors])
        factors = [matrices for factor in process.factors if (matrices := factor.as_matrices()) is not None]
        if len(factors) == len(process.factors):
            return NoisyProduct(process, factors, epsilon)
    elif (matrices := process.as_matrices()) is not None and (
        level == "joint" or len(process.factor_beliefs(process.initial_state)) == 1
    ):
        return _noisy_matrices(matrices, epsilon)
    raise ValueError(
        "`process` must be an HMM, a GHMM, a product of these or, with `level` joint, another composite of small "
        f"matrices, got a {type(process).__name__} with {process.vocab_size} tokens"
    )


def _noisy_matrices(process: MatrixProcess, epsilon: float) -> MatrixProcess:
    matrices = process.transition_matrices
    disturbed = (1 - epsilon) * matrices + epsilon * matrices.mean(axis=0)
    if isinstance(process, HMM):
        return HMM(disturbed, process.initial_state)
    return GHMM(disturbed, process.initial_state, process.normalizer)
