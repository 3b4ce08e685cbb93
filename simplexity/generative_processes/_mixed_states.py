"""The mixed-state presentation, walked breadth first, with neighbouring states merged where there are too many.

After each word an observer of the process holds a predictive vector (for an HMM a belief state). The weighted set of
these vectors determines the entropy of the next token. Words that lead to the same vector are taken together, which is
exact and often keeps the set finite. Where it still outgrows a capacity, vectors that lie close to each other are
replaced by their barycentre. That is an observer who forgets which of them it held, and so predicts no better:

- Every later entropy is the entropy of the true process given less, so it is an upper bound of the true one.
- For an HMM, the excess summed over all later positions is at most the mutual information between what is forgotten
  and the hidden state, `I(S; K' | K)`, K' being the observer's state before the merge and K after it: the future
  depends on the past only through S, so this is the data-processing inequality, and the chain rule sums it over
  positions. One token ahead, `I(X, S'; K' | K)`, with X the next token and S' the hidden state after it, is a bound for
  the same reason and about half as great.

Both are second order in the distance of what is merged.

References:
    Upper, "Theory and algorithms for hidden Markov models and generalized hidden Markov models" (1997), chapter 2:
    mixed states and their presentation.
    Cover and Thomas, "Elements of Information Theory", 2nd edition, sections 2.8 and 4.5.
    Jurgens and Crutchfield, "Shannon entropy rate of hidden Markov processes" (2021): mixed states that are a fractal.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ._partition import partition

# Vectors that agree to this, relative to the largest entry among them, are one vector: above rounding, and far below
# any difference that a longer future could make visible.
_SAME_VECTOR = 1e-12
# A token with less probability than this, given the past, is possible only because of rounding.
_IMPOSSIBLE = 1e-14
# Words rarer than this are left out before their probabilities lose digits by underflow.
_NEVER = 1e-200
# Less scatter than this, in all cells together, forgets nothing that float64 could show.
_NO_SCATTER = 1e-15
_ATTEMPTS = 8


class Generator(NamedTuple):
    """A process as float64 tables, in a non-negative presentation if a change of scale gives one."""

    transition_matrices: Float[np.ndarray, "vocab from to"]
    normalizer: Float[np.ndarray, " num_states"]
    is_hmm: bool
    """Whether the states are hidden states: nothing is negative and the normaliser is all ones."""


class Level(NamedTuple):
    """One depth of the walk."""

    entropy: float
    """H(next token | the observer's state), nats."""
    forgotten: float
    """Nats forgotten just before: at most this much excess, summed over this and all later depths.

    Zero where nothing was merged; infinity where it was and there are no hidden states to bound it by.
    """
    num_vectors: int


def as_generator(
    transition_matrices: Float[np.ndarray, "vocab from to"],
    normalizer: Float[np.ndarray, " num_states"],
    state: Float[np.ndarray, " num_states"],
) -> tuple[Generator, Float[np.ndarray, " num_states"]]:
    """The tables of a process and one of its states, each entry scaled by the normaliser where that makes it an HMM."""
    if (transition_matrices < 0).any() or (normalizer <= 0).any() or (state < 0).any():
        return Generator(transition_matrices, normalizer, is_hmm=False), state
    scaled = transition_matrices * normalizer / normalizer[:, None]
    return Generator(scaled, np.ones_like(normalizer), is_hmm=True), state * normalizer


def capacity_for(generator: Generator, num_levels: int) -> int:
    """How many vectors to keep, for about a second of work on 64 levels and a few on 512."""
    vocab, num_states, _ = generator.transition_matrices.shape
    return min(10_000, max(256, int(500_000 / (vocab * num_states * math.sqrt(num_levels)))))


def observe(
    generator: Generator, vectors: Float[np.ndarray, "n num_states"]
) -> tuple[Float[np.ndarray, "n vocab"], Float[np.ndarray, "m num_states"], Float[np.ndarray, " m"]]:
    """What follows a weighted set of vectors by one token.

    Args:
        generator: The process.
        vectors: The observer's states, each times its probability.

    Returns:
        The joint probability of each vector and token; the vectors after the token, equal ones taken together, each
        times its probability; and their probabilities.
    """
    matrices, normalizer, _ = generator
    # All tokens' successors of a vector with one product.
    successors = (vectors @ _successor_table(matrices)).reshape(-1, len(normalizer))
    masses = np.maximum(successors @ normalizer, 0.0)
    token_masses = masses.reshape(len(vectors), -1)
    possible = _possible(token_masses).ravel()
    return token_masses, *merge_equal(successors[possible], masses[possible])


def levels(generator: Generator, vectors: Float[np.ndarray, "n num_states"], capacity: int) -> Iterator[Level]:
    """Walks the mixed-state presentation from a weighted set of vectors, without end.

    Args:
        generator: The process.
        vectors: The observer's first states, each times its probability.
        capacity: About how many vectors to keep.

    Yields:
        The levels; the first is about the first token.
    """
    matrices, _, is_hmm = generator
    successor_table = _successor_table(matrices)
    forgotten, tolerance = 0.0, math.nan
    while True:
        num_vectors = len(vectors)
        token_masses, vectors, weights = observe(generator, vectors)
        yield Level(conditional_entropy(token_masses), forgotten, num_vectors)
        forgotten = 0.0
        if len(vectors) > capacity:
            points = _coordinates(vectors, weights, is_hmm)
            cells, num_cells, tolerance = _cells(points, weights, capacity, tolerance)
            merged = _sum_by_cell(vectors, cells, num_cells)
            forgotten = _forgotten(vectors @ successor_table, merged @ successor_table) if is_hmm else math.inf
            vectors = merged


def _successor_table(matrices: Float[np.ndarray, "vocab from to"]) -> Float[np.ndarray, "from outcomes"]:
    return matrices.transpose(1, 0, 2).reshape(matrices.shape[1], -1)


def _possible(masses: Float[np.ndarray, "n vocab"]) -> Bool[np.ndarray, "n vocab"]:
    total = masses.sum(axis=1, keepdims=True)
    return (masses > _IMPOSSIBLE * total) & (masses > _NEVER)


def merge_equal(
    vectors: Float[np.ndarray, "n num_states"], weights: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "m num_states"], Float[np.ndarray, " m"]]:
    """Takes equal vectors together, and returns the sums with their weights."""
    normalized = vectors / weights[:, None]
    # Equal vectors have equal projections, so sorted by a projection they stand side by side.
    direction = np.sqrt(np.arange(2, normalized.shape[1] + 2)) % 1 + 0.5
    order = np.argsort(normalized @ direction)
    normalized = normalized[order]
    differences = np.abs(np.diff(normalized, axis=0)).max(axis=1)
    is_first = np.concatenate([[True], differences > _SAME_VECTOR * np.abs(normalized).max()])
    starts = np.flatnonzero(is_first)
    return np.add.reduceat(vectors[order], starts), np.add.reduceat(weights[order], starts)


def _coordinates(
    vectors: Float[np.ndarray, "n num_states"], weights: Float[np.ndarray, " n"], is_hmm: bool
) -> Float[np.ndarray, "n num_states"]:
    """Where the squared distance stands for the information that a merge forgets.

    Between neighbouring distributions the relative entropy is twice the squared distance of their square roots. A
    predictive vector has no square root: its entries stand for themselves, on the scale of the greatest.
    """
    normalized = vectors / weights[:, None]
    return np.sqrt(normalized) if is_hmm else normalized / np.abs(normalized).max()


def _cells(
    points: Float[np.ndarray, "n num_states"], weights: Float[np.ndarray, " n"], capacity: int, tolerance: float
) -> tuple[Int[np.ndarray, " n"], int, float]:
    """A partition into about `capacity` cells, and the tolerance to try first at the next level."""
    if math.isnan(tolerance):
        spread = points - np.average(points, axis=0, weights=weights)
        tolerance = float(weights @ (spread**2).sum(axis=1)) / capacity**2
    least = _NO_SCATTER / capacity
    # Half of the points, where there are hardly more than the capacity.
    fewest, most = 0.5 * min(capacity, len(points) / 2), 1.5 * capacity
    # Points in symmetric positions split all at once, so no tolerance may fit: the last attempt's cells are valid too.
    for _ in range(_ATTEMPTS):
        tolerance = max(tolerance, least)
        cells, num_cells = partition(points, weights, tolerance)
        fits = num_cells <= most and (num_cells >= fewest or tolerance == least)
        # In d dimensions the scatter per cell goes like num_cells^-(1 + 2/d); 1.5 is a step that converges for all d.
        tolerance *= (num_cells / capacity) ** 1.5
        if fits:
            break
    return cells, num_cells, tolerance


def _sum_by_cell(
    vectors: Float[np.ndarray, "n num_states"], cells: Int[np.ndarray, " n"], num_cells: int
) -> np.ndarray:
    return np.stack([np.bincount(cells, column, num_cells) for column in vectors.T], axis=1)


def _forgotten(before: Float[np.ndarray, "n outcomes"], after: Float[np.ndarray, "m outcomes"]) -> float:
    """I(outcome; observer's state before the merge | its state after it)."""
    return max(0.0, conditional_entropy(after) - conditional_entropy(before))


def conditional_entropy(joint: Float[np.ndarray, "n outcomes"]) -> float:
    """H(outcome | row) in nats, of a joint distribution of rows and outcomes."""
    return float(_log_sum(joint.sum(axis=1)) - _log_sum(joint))


def _log_sum(probabilities: np.ndarray) -> float:
    """The sum of `p log p`, where `0 log 0` is zero."""
    return float((probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0))).sum())
