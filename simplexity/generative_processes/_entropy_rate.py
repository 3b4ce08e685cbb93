"""The entropy rate: what each token of an endless sequence costs the best possible predictor.

From a stationary state `h(t) = H(X_t | X_1 ... X_{t-1})` never rises, and its limit is the entropy rate. So a walk from
there may end long before a sequence does: its last entropy is an upper bound of all later ones, and a lower bound of
the rate is a lower bound of all of them.
"""

import math
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._components import Component, as_process, components
from ._drawn_words import drawn_entropy_rate
from ._generative_process import GenerativeProcess
from ._matrix_process import MatrixProcess
from ._mixed_states import Generator, Level, capacity_for, levels
from ._mixture import Mixture
from ._product import Product, for_each_distinct

MOST_WALKED_STATES = 5
"""Of a GHMM with more states a walk does not know its error: it goes like n^(-2/d) for n vectors in d dimensions."""

GOOD_ERROR = 5e-5
"""An error, in nats per token, on which drawn words need not improve."""

# About a second.
_WORK = 4_000_000
# Every few levels a walk ends if its bracket is this narrow, or hardly narrows any more, or if the work is done.
_LEVELS_PER_LOOK = 8
_FEWEST_LEVELS = 40
_NARROW_ENOUGH = 1e-14
_WORTHWHILE = 0.9
# An error that does not show in five decimals: below it a walk continues only while its bracket halves each time.
_PRECISE, _HALF = 5e-6, 0.5
_WORK_PER_LEVEL = 2_000


class Estimate(NamedTuple):
    """An entropy per token, nats: the truth lies within `value - error` and `value + error`.

    From a walk of an ergodic HMM it even lies within `[value - error, value]`, a proven bound up to the rounding of
    float64 (1e-12), and an error of zero means that the value is exact. For a GHMM with negative entries, an error
    above zero is itself an estimate, and for a mixture and drawn words the error holds with a stated probability; the
    functions that return one say how it is made.
    """

    value: float
    """Nats."""
    error: float
    """Nats, never negative."""


class StationaryWalk(NamedTuple):
    """The first entropies, and their limit."""

    entropies: Float[np.ndarray, " levels"]
    """Nats, from above, never rising."""
    rate: Estimate
    """The entropy rate; its value is the last of the entropies."""
    sum_errors: Float[np.ndarray, " levels"]
    """By how much the sum of the first 1, 2, ... entropies may be too great."""


def entropy_rate(process: GenerativeProcess) -> Estimate:
    """The limit of `H(X_1 ... X_L) / L`, in nats, from the process's own initial state.

    In the long run a non-ergodic process is one of several ergodic components. To learn which one costs a finite amount
    of information, once, so the rate is the mean of the components' rates, weighted by their probabilities. Transient
    states cost a finite amount too, so each component counts with its stationary state.

    A component's rate is

    - closed form where it is unifilar (each hidden state and token lead to one state): `sum_i pi_i H(X | state i)`;
    - for any other HMM that is given by its matrices bracketed (Cover and Thomas, theorem 4.5.1):
      `H(X_n | X_1 ... X_{n-1})` from above, and, from below, the same with the hidden state before the first token also
      known, less what the walk forgot by merging. So the truth lies within `[value - error, value]`, proven. The same
      for a composite of HMMs with at most 5 joint states, and for each component of one that has several;
    - for a GHMM with negative entries and at most 5 states, `H(X_n | X_1 ... X_{n-1})` from its stationary vector: a
      proven upper bound. Its error is an estimate: how much more a walk with a quarter of the vectors gives, plus how
      much the second half of the walk still lowered the value;
    - for a GHMM with more states or a composite with more joint states, and where a walk's error is above 5e-5 and
      greater, the mean entropy of the tokens 65 to 1,024, over drawn words. Nothing is proven: the error is an
      estimate, that of the mean over words plus what these tokens may have in excess of the rate, which the 32 tokens
      before them show (`_drawn_words.py`). A bracket of such a composite would be narrower but takes a minute: it is
      the rate of the matrices, `entropy_rate(process.as_matrices())`.

    A product's rate and error are the sums of its factors'. Another composite without small matrices has the rate of
    drawn words, too.

    Args:
        process: Any generative process.

    Returns:
        The rate in nats per token, with its error.

    References:
        Cover and Thomas, "Elements of Information Theory", 2nd edition, section 4.5.
        Shannon, "A mathematical theory of communication" (1948), section 7: unifilar sources and their mixtures.
    """
    if isinstance(process, Product):
        rates = for_each_distinct(entropy_rate, process.factors)
        return Estimate(sum(rate.value for rate in rates), sum(rate.error for rate in rates))
    if isinstance(process, Mixture):
        values, errors = zip(*(entropy_rate(component) for component in process.components), strict=True)
        return Estimate(float(process.weights @ values), float(process.weights @ errors))
    matrices = process.as_matrices()
    if matrices is None:
        return Estimate(*drawn_entropy_rate(process, process.initial_state))
    found = components(matrices, matrices.stationary_state)
    # Words of a composite are drawn faster from its factors than from its matrices.
    drawn_from = process if len(found) == 1 and not isinstance(process, MatrixProcess) else None
    parts = [(part.weight, _component_rate(part, drawn_from)) for part in found]
    return Estimate(
        value=sum(weight * rate.value for weight, rate in parts),
        error=sum(weight * rate.error for weight, rate in parts),
    )


def stationary_walk(generator: Generator, stationary: Float[np.ndarray, " num_states"], work: int) -> StationaryWalk:
    """Walks from the stationary state, together with a reference walk, until the two nearly agree.

    - For an HMM the reference is an observer who also knows the first hidden state. It is a proven lower bound of the
      rate (Cover and Thomas, theorem 4.5.1) less what merging forgot.
    - For a GHMM it is a walk with a quarter of the vectors, and the error is an estimate: how much more that walk gives
      at the end, plus how much the second half of the walk still lowered the value.

    Args:
        generator: The process.
        stationary: Its stationary state.
        work: Entries of tables times vectors, summed over levels; four millions take about a second.
    """
    vocab, num_states, _ = generator.transition_matrices.shape
    capacity = capacity_for(generator, num_levels=64)
    above = levels(generator, stationary[None], capacity)
    if generator.is_hmm:
        # The observer knows the first hidden state: one belief state, certain of it, for each.
        reference = levels(generator, np.diag(stationary)[stationary > 0], capacity)
        bracket = _proven
    else:
        reference = levels(generator, stationary[None], math.ceil(capacity / 4))
        bracket = _estimated

    walked: list[tuple[Level, Level]] = []
    done, last_error = 0, math.inf
    while True:
        walked += islice(zip(above, reference, strict=True), _LEVELS_PER_LOOK)
        rate = bracket(*zip(*walked, strict=True))
        stalled = len(walked) > _FEWEST_LEVELS and rate.error > _WORTHWHILE * last_error
        stalled |= rate.error < _PRECISE and rate.error > _HALF * last_error
        num_vectors = sum(level.num_vectors for pair in walked[-_LEVELS_PER_LOOK:] for level in pair)
        done += _LEVELS_PER_LOOK * _WORK_PER_LEVEL + num_vectors * vocab * num_states
        if rate.error < _NARROW_ENOUGH or stalled or done > work:
            return _walk(generator, walked, rate)
        last_error = rate.error


def _component_rate(component: Component, drawn_from: GenerativeProcess | None) -> Estimate:
    generator, stationary = component.generator, component.state
    if generator.is_hmm and _is_unifilar(generator):
        masses = generator.transition_matrices.sum(axis=2).T
        return Estimate(float(stationary @ _entropies(masses)), 0.0)
    walked = None
    # The joint states of several factors have too many dimensions for a walk, as those of such a GHMM have.
    if (generator.is_hmm and drawn_from is None) or len(stationary) <= MOST_WALKED_STATES:
        walked = stationary_walk(generator, stationary, _WORK).rate
        if walked.error < GOOD_ERROR:
            return walked
    process = as_process(component) if drawn_from is None else drawn_from
    drawn = Estimate(*drawn_entropy_rate(process, process.initial_state))
    return drawn if walked is None or drawn.error < walked.error else walked


def _is_unifilar(generator: Generator) -> bool:
    return bool((np.count_nonzero(generator.transition_matrices, axis=2) <= 1).all())


def _entropies(probabilities: Float[np.ndarray, "n vocab"]) -> Float[np.ndarray, " n"]:
    return -(probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0))).sum(axis=1)


def _walk(generator: Generator, walked: list[tuple[Level, Level]], rate: Estimate) -> StationaryWalk:
    entropies = np.minimum.accumulate([level.entropy for level, _ in walked])
    if generator.is_hmm:
        errors = np.cumsum([level.forgotten for level, _ in walked])
    else:
        errors = np.cumsum([max(0.0, coarse.entropy - fine.entropy) for fine, coarse in walked])
    return StationaryWalk(entropies, rate, errors)


def _proven(above: tuple[Level, ...], below: tuple[Level, ...]) -> Estimate:
    """The least upper bound, and the greatest lower bound that any stretch of levels gives.

    The entropies given the first hidden state rise to the rate, so the rate is at least their mean over levels m..n,
    and that is at least `(sum_{m..n} level entropy - sum_{1..n} forgotten) / (n - m + 1)`.
    """
    upper = min(level.entropy for level in above)
    entropies = np.array([level.entropy for level in below])
    forgotten = sum(level.forgotten for level in below)
    sums_to_the_end = np.cumsum(entropies[::-1])
    lower = ((sums_to_the_end - forgotten) / np.arange(1, len(entropies) + 1)).max()
    return Estimate(upper, max(0.0, float(upper - lower)))


def _estimated(fine: tuple[Level, ...], coarse: tuple[Level, ...]) -> Estimate:
    """What the coarser walk gives more, plus how far the entropies fell in the second half of the walk.

    The distances to the rate sum to the excess entropy. Where that is finite and they fall like a power of the time,
    t^-a, then a > 1, and their fall from t/2 to t is more than what is left at t.
    """
    value = min(level.entropy for level in fine)
    from_merging = max(0.0, coarse[-1].entropy - value)
    still_falling = max(0.0, fine[len(fine) // 2 - 1].entropy - value)
    return Estimate(value, from_merging + still_falling)
