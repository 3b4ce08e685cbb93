"""Products: independent processes side by side, whose tokens are read as one."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ._factors import join_states, join_tokens, joint_matrices, outer_product, split_states, split_tokens
from ._generative_process import GenerativeProcess, States
from ._hmm import HMM
from ._matrix_process import MatrixProcess

Item = TypeVar("Item")
Result = TypeVar("Result")


class Product(GenerativeProcess):
    """Independent factors. A state is the factors' states one after another, and factors are drawn one by one."""

    factors: tuple[GenerativeProcess, ...]
    initial_state: Float[np.ndarray, " num_states"]

    def __init__(self, factors: Sequence[GenerativeProcess]) -> None:
        """Takes the factors of factors that are products themselves as its own: the token code is the same."""
        flat = [inner for factor in factors for inner in (factor.factors if isinstance(factor, Product) else (factor,))]
        self.factors = tuple(flat)
        self.initial_state = np.concatenate([factor.initial_state for factor in flat])

    @property
    def vocab_size(self) -> int:
        """The product of the factors' numbers of tokens."""
        return math.prod(self.vocab_sizes)

    @property
    def vocab_sizes(self) -> tuple[int, ...]:
        """Each factor's number of tokens."""
        return tuple(factor.vocab_size for factor in self.factors)

    def token_probabilities(self, states: States) -> States:
        """The products of the factors' probabilities."""
        parts = self.split_states(states)
        return outer_product(
            [factor.token_probabilities(part) for factor, part in zip(self.factors, parts, strict=True)]
        )

    def successors(self, states: States, tokens: States) -> States:
        """Each factor's state after its own token."""
        parts, digits = self.split_states(states), split_tokens(tokens, self.vocab_sizes)
        return join_states(
            [factor.successors(part, digit) for factor, part, digit in zip(self.factors, parts, digits, strict=True)]
        )

    def split_states(self, states: States) -> list[States]:
        """Each factor's own state."""
        return split_states(states, [factor.num_states for factor in self.factors])

    def factor_beliefs(self, states: States) -> tuple[States, ...]:
        """The belief state of each factor; a factor that has factors itself contributes theirs."""
        parts = self.split_states(states)
        return tuple(
            belief for factor, part in zip(self.factors, parts, strict=True) for belief in factor.factor_beliefs(part)
        )

    def joint_beliefs(self, states: States) -> States:
        """The outer product of the factors' belief states."""
        parts = self.split_states(states)
        return outer_product([factor.joint_beliefs(part) for factor, part in zip(self.factors, parts, strict=True)])

    def as_matrices(self) -> MatrixProcess | None:
        """The Kronecker products of the factors' matrices, while they are small."""
        own = [factor.as_matrices() for factor in self.factors]
        matrices = [factor for factor in own if factor is not None]
        if len(matrices) < len(own):
            return None
        labels = split_tokens(np.arange(self.vocab_size), self.vocab_sizes)
        return joint_matrices(
            [(factor.transition_matrices, label) for factor, label in zip(matrices, labels, strict=True)],
            [factor.initial_state for factor in matrices],
            [factor.normalizer for factor in matrices],
        )

    def initial_sampling_state(self, batch_size: int, *, key: PRNGKeyArray) -> tuple[Any, ...]:
        """Each factor's."""
        keys = jax.random.split(key, len(self.factors))
        return tuple(
            factor.initial_sampling_state(batch_size, key=key) for factor, key in zip(self.factors, keys, strict=True)
        )

    def sample(
        self, sampling_state: tuple[Any, ...], length: int, *, key: PRNGKeyArray
    ) -> tuple[tuple[Any, ...], Int[Array, "batch length"]]:
        """Draws `length` tokens of each factor, and joins them."""
        keys = jax.random.split(key, len(self.factors))
        drawn = [
            factor.sample(state, length, key=key)
            for factor, state, key in zip(self.factors, sampling_state, keys, strict=True)
        ]
        states, digits = zip(*drawn, strict=True)
        return states, join_tokens(digits, self.vocab_sizes)


def for_each_distinct(function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The function of each item, such as a factor, computed once for those that are equal."""
    computed: list[tuple[Item, Result]] = []
    results = []
    for item in items:
        found = [result for other, result in computed if eqx.tree_equal(item, other) is True]
        results.append(found[0] if found else function(item))
        if not found:
            computed.append((item, results[-1]))
    return results


def product(factors: Sequence[GenerativeProcess]) -> Product:
    """Independent processes of any kinds and sizes side by side, whose tokens are read as one token.

    The token is `((x_1 V_2 + x_2) V_3 + x_3) ...`, with `x_i` the token of factor i and `V_i` its number of tokens: the
    first factor is the most significant. So `product([mess3(...), tom_quantum(...)])` has 3 x 4 = 12 tokens, and its
    token 7 is token 1 of the first factor and token 3 of the second.

    The factors are filtered and sampled one by one, and no joint matrix is formed. Given the past they are independent
    too, so the entropy of the next token, the optimum and the entropy rate are the sums of the factors', and so are
    their errors. Its stationary distribution is the product of theirs.

    Args:
        factors: The processes, at least one.

    Returns:
        The process. Its states are the factors' states one after another; `factor_beliefs` and `joint_beliefs` give
        the belief state of each factor and of all together.

    Raises:
        ValueError: If there is no factor.

    References:
        Shai et al., Transformers learn factored representations (2026), arXiv:2602.02385: the independent factors.
    """
    if len(factors) == 0:
        raise ValueError("`factors` must name at least one process, got none")
    return Product(factors)


def inflated(process: GenerativeProcess, num_synonyms: int) -> Product:
    """A process each of whose tokens has synonyms, one of which is chosen uniformly and independently each time.

    It is the product of the process and a uniform choice: token `x` becomes one of `K x, ..., K x + K - 1`, with `K`
    the number of synonyms. The vocabulary grows, what there is to know does not: the entropy of each token, and so the
    optimum and the entropy rate, rise by exactly `log K`. The stationary distribution is that of the process.

    Args:
        process: Any process.
        num_synonyms: How many tokens each token becomes, at least 1.

    Returns:
        The process. The last number of its states, that of the choice, is always 1: there is nothing to know of it.

    Raises:
        ValueError: If `num_synonyms` is below 1.

    References:
        A construction of this project.
    """
    if num_synonyms < 1:
        raise ValueError(f"`num_synonyms` must be at least 1, got {num_synonyms}")
    return Product([process, HMM(np.full((num_synonyms, 1, 1), 1 / num_synonyms))])
