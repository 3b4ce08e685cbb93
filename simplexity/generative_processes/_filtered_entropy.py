"""Entropies of a process that is known only by its states: those of a composite without small matrices.

All states that words lead to are followed, equal ones taken together, while they are few: so far the entropies are
exact. After that they are means over words that are drawn from the process. Each word is filtered exactly, so its
distribution of the next token has no error, and only the mean over words has one. The words are drawn in pairs, each
pair from a stratum of its own of the last exact set; the error is Bernstein's (`_component_choice.py` has the formula).
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._component_choice import CONFIDENCE, bernstein_mean
from ._generative_process import GenerativeProcess
from ._mixed_states import merge_equal
from ._presentation import row_entropies

# Numbers in the set of states that is followed exactly.
_MOST_ENTRIES = 1_000_000
# Probabilities of tokens that are computed for the words drawn: a few seconds.
_WORK = 60_000_000
_MOST_WORDS, _FEWEST_WORDS = 200_000, 2_000
# Probabilities of tokens that are held at once.
_ENTRIES_AT_ONCE = 2_000_000
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
    while True:
        probabilities = process.token_probabilities(states)
        exact.append(float(weights @ row_entropies(probabilities)))
        joint = weights[:, None] * probabilities
        rows, tokens = np.nonzero((probabilities > _IMPOSSIBLE) & (joint > _NEVER))
        if len(exact) == length or len(rows) * process.num_states > _MOST_ENTRIES:
            break
        weights = joint[rows, tokens]
        vectors, weights = merge_equal(process.successors(states[rows], tokens) * weights[:, None], weights)
        states = vectors / weights[:, None]
    values, errors = np.zeros((2, length))
    values[: len(exact)] = exact
    num_drawn = length - len(exact)
    if num_drawn == 0:
        return FilteredEntropies(values, errors, 0.0)
    entropies = _drawn(process, states, weights, num_drawn)
    log_inverse, greatest = math.log(3 * (num_drawn + 1) / (1 - CONFIDENCE)), math.log(process.vocab_size)
    for position, column in enumerate(entropies.T, start=len(exact)):
        values[position], errors[position] = bernstein_mean(column, greatest, log_inverse)
    _, total_error = bernstein_mean(entropies.sum(axis=1), num_drawn * greatest, log_inverse)
    return FilteredEntropies(values, errors, total_error)


def _drawn(
    process: GenerativeProcess,
    states: Float[np.ndarray, "n num_states"],
    weights: Float[np.ndarray, " n"],
    num_tokens: int,
) -> Float[np.ndarray, "words num_tokens"]:
    """The entropy of the next token of each word, after one token more and another."""
    width = process.vocab_size + process.num_states
    num_pairs = max(_FEWEST_WORDS, min(_MOST_WORDS, _WORK // (num_tokens * width))) // 2
    # A fixed seed, so that a process always has the same optimum.
    rng = np.random.default_rng(0)
    strata = np.repeat(np.arange(num_pairs), 2)
    cumulative = np.cumsum(weights)
    positions = (strata + rng.random(2 * num_pairs)) / num_pairs * cumulative[-1]
    chosen = np.minimum(np.searchsorted(cumulative, positions, side="right"), len(states) - 1)
    num_parts = math.ceil(len(chosen) * width / _ENTRIES_AT_ONCE)
    return np.concatenate(
        [_drawn_from(process, states[part], num_tokens, rng) for part in np.array_split(chosen, num_parts)]
    )


def _drawn_from(
    process: GenerativeProcess, states: Float[np.ndarray, "words num_states"], num_tokens: int, rng: np.random.Generator
) -> Float[np.ndarray, "words num_tokens"]:
    entropies = np.empty((len(states), num_tokens))
    probabilities = process.token_probabilities(states)
    for position in range(num_tokens):
        cumulative = np.where(probabilities > _IMPOSSIBLE, probabilities, 0.0).cumsum(axis=1)
        tokens = (cumulative[:, :-1] <= rng.random((len(states), 1)) * cumulative[:, -1:]).sum(axis=1)
        states = process.successors(states, tokens)
        probabilities = process.token_probabilities(states)
        entropies[:, position] = row_entropies(probabilities)
    return entropies
