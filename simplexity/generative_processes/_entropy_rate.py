"""The entropy rate: what each token of an endless sequence costs the best possible predictor."""

import math
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ._estimate import Estimate
from ._generative_process import GenerativeProcess
from ._mixed_states import Generator, Level, as_generator, capacity_for, levels

# Every few levels a walk looks whether its bracket is this narrow, or hardly narrows any more, or the work is used up.
_LEVELS_PER_LOOK = 8
_FEWEST_LEVELS = 40
_NARROW_ENOUGH = 1e-10
_WORTHWHILE = 0.9
# Table entries times vectors, summed over levels: about a second. A level costs something however small it is.
_WORK = 4_000_000
_WORK_PER_LEVEL = 2_000
# Long-run probability below which a hidden state is one that only rounding visits.
_NEVER_VISITED = 1e-14


def entropy_rate(process: GenerativeProcess) -> Estimate:
    """The limit of `H(X_1 ... X_L) / L`, in nats, from the process's own initial state.

    The long run of a non-ergodic process is a mixture of ergodic components that never meet. Which one a sequence is in
    costs a finite amount of information, once, so the rate is the mean of the components' rates, weighted by how
    probable they are. What is transient costs a finite amount too, so each component counts with its stationary state.

    A component's rate is

    - closed form where it is unifilar (each hidden state and token lead to one state): `sum_i pi_i H(X | state i)`;
    - for any other HMM bracketed (Cover and Thomas, theorem 4.5.1): `H(X_n | X_1 ... X_{n-1})` from above, and, from
      below, the same with the hidden state before the first token also known, less what the walk forgot by merging. So
      the truth lies within `[value - error, value]`, proven;
    - for a GHMM with negative entries, `H(X_n | X_1 ... X_{n-1})` from its stationary vector: a proven upper bound. Its
      error is an estimate: how much more a walk with a quarter of the vectors gives, plus how much the second half of
      the walk still lowered the value.

    References:
        Cover and Thomas, "Elements of Information Theory", 2nd edition, section 4.5.
        Shannon, "A mathematical theory of communication" (1948), section 7: unifilar sources and their mixtures.
    """
    parts = [(part.weight, _component_rate(part)) for part in _components(process)]
    return Estimate(
        value=sum(weight * rate.value for weight, rate in parts),
        error=sum(weight * rate.error for weight, rate in parts),
    )


class _Component(NamedTuple):
    weight: float
    generator: Generator
    stationary: Float[np.ndarray, " num_states"]


def _components(process: GenerativeProcess) -> list[_Component]:
    """The blocks of states that no transition connects, each as a process of its own."""
    matrices, normalizer, stationary = process.transition_matrices, process.normalizer, process.stationary_state
    connected = (matrices != 0).any(axis=0)
    if as_generator(matrices, normalizer, stationary)[0].is_hmm:
        # Only states that recur: components that are reached from the same transient state are still apart.
        recurrent = stationary > _NEVER_VISITED
        connected &= recurrent[:, None] & recurrent
    components = []
    for block in _blocks(connected):
        weight = float(stationary[block] @ normalizer[block])
        if weight > _NEVER_VISITED:
            # A component may be an HMM although the whole is not.
            component = as_generator(matrices[:, block][:, :, block], normalizer[block], stationary[block] / weight)
            components.append(_Component(weight, *component))
    return components


def _blocks(connected: Bool[np.ndarray, "n n"]) -> list[Bool[np.ndarray, " n"]]:
    """The weakly connected sets of states, as masks."""
    reachable = connected | connected.T | np.eye(len(connected), dtype=bool)
    while True:
        # Paths twice as long: a matrix product of booleans.
        further = reachable @ reachable
        if (further == reachable).all():
            return list(np.unique(reachable, axis=0))
        reachable = further


def _component_rate(component: _Component) -> Estimate:
    _, generator, stationary = component
    if generator.is_hmm and _is_unifilar(generator):
        masses = generator.transition_matrices.sum(axis=2).T
        return Estimate(float(stationary @ _entropies(masses)), 0.0)
    return _bracket(generator, stationary)


def _is_unifilar(generator: Generator) -> bool:
    return bool((np.count_nonzero(generator.transition_matrices, axis=2) <= 1).all())


def _entropies(probabilities: Float[np.ndarray, "n vocab"]) -> Float[np.ndarray, " n"]:
    return -(probabilities * np.log(np.where(probabilities > 0, probabilities, 1.0))).sum(axis=1)


def _bracket(generator: Generator, stationary: Float[np.ndarray, " num_states"]) -> Estimate:
    """Walks from the stationary state, beside a reference walk, until the two leave little between them."""
    vocab, num_states, _ = generator.transition_matrices.shape
    capacity = capacity_for(generator, num_levels=256)
    above = levels(generator, stationary[None], capacity)
    if generator.is_hmm:
        # The observer knows the first hidden state: one belief state, certain of it, for each.
        reference = levels(generator, np.diag(stationary)[stationary > 0], capacity)
        bracket = _proven
    else:
        reference = levels(generator, stationary[None], math.ceil(capacity / 4))
        bracket = _estimated

    walked: list[tuple[Level, Level]] = []
    work, last_error = 0, math.inf
    while True:
        walked += islice(zip(above, reference, strict=True), _LEVELS_PER_LOOK)
        estimate = bracket(*zip(*walked, strict=True))
        stalled = len(walked) > _FEWEST_LEVELS and estimate.error > _WORTHWHILE * last_error
        num_vectors = sum(level.num_vectors for pair in walked[-_LEVELS_PER_LOOK:] for level in pair)
        work += _LEVELS_PER_LOOK * _WORK_PER_LEVEL + num_vectors * vocab * num_states
        if estimate.error < _NARROW_ENOUGH or stalled or work > _WORK:
            return estimate
        last_error = estimate.error


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
    value = min(level.entropy for level in fine)
    from_merging = max(0.0, coarse[-1].entropy - value)
    still_falling = max(0.0, fine[len(fine) // 2 - 1].entropy - value)
    return Estimate(value, from_merging + still_falling)
