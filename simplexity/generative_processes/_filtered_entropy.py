"""Entropies of a process that is known only by its states: those of a composite without small matrices.

All states that words lead to are followed, equal ones taken together, while they are few: so far the entropies are
exact. After that they are means over words that are drawn from the process (`_drawn_words.py`).
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._drawn_words import drawn_entropies
from ._generative_process import GenerativeProcess
from ._mixed_states import merge_equal
from ._presentation import row_entropies

# Numbers in the set of states that is followed exactly.
_MOST_ENTRIES = 1_000_000
# A token with less probability than this, given the past, is possible only because of rounding.
_IMPOSSIBLE = 1e-14
# Words rarer than this are left out before their probabilities lose digits by underflow.
_NEVER = 1e-200


class FilteredEntropies(NamedTuple):
    """H(X_t | X_1 ... X_{t-1}), t = 1..length, nats."""

    values: Float[np.ndarray, " length"]
    errors: Float[np.ndarray, " length"]
    """Zero where the value is exact; else what it may be off by to either side, with the probability `CONFIDENCE`."""
    total_error: float
    """The same for the sum of all positions."""


def filtered_entropies(
    process: GenerativeProcess, state: Float[np.ndarray, " num_states"], length: int
) -> FilteredEntropies:
    """The entropy of each next token, given the process and the tokens so far.

    Args:
        process: Any generative process.
        state: What is known before the first token.
        length: The number of tokens.
    """
    states, weights, exact = state[None], np.ones(1), list[float]()
    for states, weights, probabilities in islice(followed(process, state), length):  # noqa: B007  the last ones are needed
        exact.append(float(weights @ row_entropies(probabilities)))
    values, errors = np.zeros((2, length))
    values[: len(exact)] = exact
    num_drawn = length - len(exact)
    if num_drawn == 0:
        return FilteredEntropies(values, errors, 0.0)
    values[len(exact) :], errors[len(exact) :], total_error = drawn_entropies(process, states, weights, num_drawn)
    return FilteredEntropies(values, errors, total_error)


def followed(
    process: GenerativeProcess, state: Float[np.ndarray, " num_states"]
) -> Iterator[tuple[Float[np.ndarray, "n num_states"], Float[np.ndarray, " n"], Float[np.ndarray, "n vocab"]]]:
    """What may be known after 0, 1, 2, ... tokens: all states, exactly, while these are few.

    Yields:
        The states, their probabilities, and the next token's distribution after each of them.
    """
    states, weights = state[None], np.ones(1)
    while True:
        probabilities = process.token_probabilities(states)
        yield states, weights, probabilities
        joint = weights[:, None] * probabilities
        rows, tokens = np.nonzero((probabilities > _IMPOSSIBLE) & (joint > _NEVER))
        if len(rows) * process.num_states > _MOST_ENTRIES:
            return
        weights = joint[rows, tokens]
        vectors, weights = merge_equal(process.successors(states[rows], tokens) * weights[:, None], weights)
        states = vectors / weights[:, None]
