"""The uncertainty about the component of a mixture that generates a sequence, after each token: `H(C | X_1 ... X_t)`.

By the chain rule, with `w_c` the probability of the component c,

    H(X_1 ... X_t) = sum_c w_c H(X_1 ... X_t | C = c) + H(C) - H(C | X_1 ... X_t).

The components' entropies come from a walk of each component, which keeps far fewer vectors than a walk of the mixture,
whose vectors have the dimensions of all components. The last term is exact as long as the words lead to few vectors.
After that it is a mean over words that are drawn from the process. Each word is filtered exactly, so its posterior
distribution over components has no error, and only the mean over words has one.

The words are drawn in pairs, each pair from a stratum of its own of the last exact set. So they are independent, the
difference within a pair shows the variance, and Bernstein's inequality bounds the mean's error without assuming how it
is distributed. With M words of entropies in `[0, R]`, `v` their mean variance within strata and `l` the logarithm of
the inverse probability to fail, the error is at most `sqrt(2 v l / M) + R l / (3 M)`; and `sqrt(v)` exceeds its
estimate by at most `R sqrt(2 l / M)`, since half of a squared difference lies in `[0, R^2 / 2]` with the mean `v`.

References:
    Boucheron, Lugosi and Massart, "Concentration inequalities" (2013), section 2.8.
    Maurer and Pontil, "Empirical Bernstein bounds and sample-variance penalization" (2009), arXiv:0907.3740.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ._mixed_states import Generator, conditional_entropy, observe

CONFIDENCE = 1 - 1e-6
"""All errors of one mixture hold at once with this probability."""

# Entries of tables times words times tokens: about three seconds.
_WORK = 900_000_000
_MOST_WORDS, _FEWEST_WORDS = 300_000, 2_000
# The part of the cost of a token of a word that does not depend on the number of states.
_WORK_PER_WORD = 20
# The component counts as known once its entropy is below this, in nats.
KNOWN = 1e-12
# A token with less probability than this, given the past, is possible only because of rounding.
_IMPOSSIBLE = 1e-14


class ChoiceEntropies(NamedTuple):
    """H(C | X_1 ... X_t), t = 0..length, in nats."""

    values: Float[np.ndarray, " length+1"]
    errors: Float[np.ndarray, " length+1"]
    """Zero where the value is exact; else what it may be off by to either side, with the probability `CONFIDENCE`."""


def choice_entropies(
    generator: Generator,
    state: Float[np.ndarray, " num_states"],
    blocks: Sequence[Bool[np.ndarray, " num_states"]],
    length: int,
    capacity: int,
) -> ChoiceEntropies:
    """The entropy of the component, given the process and the tokens so far.

    Args:
        generator: The mixture.
        state: Its initial state.
        blocks: Each component's states.
        length: The number of tokens.
        capacity: About how many vectors to keep for the exact part.
    """
    vectors = state[None]
    exact = [conditional_entropy(_joint_with_component(generator, vectors, blocks))]
    while len(exact) <= length and exact[-1] > KNOWN and len(vectors) <= capacity:
        _, vectors, _ = observe(generator, vectors)
        exact.append(conditional_entropy(_joint_with_component(generator, vectors, blocks)))
    values, errors = np.zeros((2, length + 1))
    values[: len(exact)] = exact
    # No token makes the component less certain on average, and no entropy is negative.
    errors[len(exact) :] = KNOWN
    if len(exact) <= length and exact[-1] > KNOWN:
        num_tokens = length + 1 - len(exact)
        log_inverse = math.log(3 * num_tokens / (1 - CONFIDENCE))
        for t, entropies in enumerate(_drawn(generator, vectors, blocks, num_tokens), start=len(exact)):
            values[t], errors[t] = bernstein_mean(entropies, math.log(len(blocks)), log_inverse)
    return ChoiceEntropies(values, errors)


def _joint_with_component(
    generator: Generator,
    vectors: Float[np.ndarray, "n num_states"],
    blocks: Sequence[Bool[np.ndarray, " num_states"]],
) -> Float[np.ndarray, "n components"]:
    masses = [vectors[:, block] @ generator.normalizer[block] for block in blocks]
    return np.maximum(np.stack(masses, axis=1), 0.0)


def _drawn(
    generator: Generator,
    vectors: Float[np.ndarray, "n num_states"],
    blocks: Sequence[Bool[np.ndarray, " num_states"]],
    num_tokens: int,
) -> Iterator[Float[np.ndarray, " words"]]:
    """The entropy of each word's posterior distribution over components, after one token more and another."""
    matrices, normalizer, _ = generator
    vocab, num_states, _ = matrices.shape
    work = num_tokens * (_WORK_PER_WORD + vocab * num_states)
    num_pairs = max(_FEWEST_WORDS, min(_MOST_WORDS, _WORK // work)) // 2
    # A fixed seed, so that a process always has the same optimum.
    rng = np.random.default_rng(0)
    states = _stratified(generator, vectors, blocks, num_pairs, rng)
    emissions = (matrices @ normalizer).T
    for _ in range(num_tokens):
        probabilities = states @ emissions
        probabilities[probabilities < _IMPOSSIBLE] = 0.0
        cumulative = np.cumsum(probabilities, axis=1)
        tokens = (cumulative[:, :-1] <= rng.random((len(states), 1)) * cumulative[:, -1:]).sum(axis=1)
        for token in range(vocab):
            rows = np.flatnonzero(tokens == token)
            states[rows] = states[rows] @ matrices[token]
        states /= (states @ normalizer)[:, None]
        joint = _joint_with_component(generator, states, blocks)
        posterior = joint / joint.sum(axis=1, keepdims=True)
        yield -(posterior * np.log(np.where(posterior > 0, posterior, 1.0))).sum(axis=1)


def _stratified(
    generator: Generator,
    vectors: Float[np.ndarray, "n num_states"],
    blocks: Sequence[Bool[np.ndarray, " num_states"]],
    num_pairs: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "words num_states"]:
    """Vectors drawn by their weight, two from each stratum; a stratum has similar posteriors over components."""
    weights = np.maximum(vectors @ generator.normalizer, 0.0)
    posterior = _joint_with_component(generator, vectors, blocks) / weights[:, None]
    order = np.lexsort(posterior.T)
    vectors, weights = vectors[order], weights[order]
    cumulative = np.cumsum(weights)
    strata = np.repeat(np.arange(num_pairs), 2)
    positions = (strata + rng.random(2 * num_pairs)) / num_pairs * cumulative[-1]
    chosen = np.minimum(np.searchsorted(cumulative, positions, side="right"), len(vectors) - 1)
    return vectors[chosen] / weights[chosen, None]


def bernstein_mean(entropies: Float[np.ndarray, " words"], greatest: float, log_inverse: float) -> tuple[float, float]:
    """The mean, and the error that it has with a probability of `3 exp(-log_inverse)` at most."""
    num_words = len(entropies)
    deviation = math.sqrt(((entropies[::2] - entropies[1::2]) ** 2).mean() / 2)
    deviation += greatest * math.sqrt(2 * log_inverse / num_words)
    error = deviation * math.sqrt(2 * log_inverse / num_words) + greatest * log_inverse / (3 * num_words)
    return float(entropies.mean()), error
