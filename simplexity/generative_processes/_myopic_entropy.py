"""Myopic entropies: the uncertainty of each next token, given the process and all tokens before it."""

import math
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._component_choice import ChoiceEntropies, choice_entropies
from ._components import Component, as_process, components
from ._entropy_rate import GOOD_ERROR, MOST_WALKED_STATES, Estimate, stationary_walk
from ._filtered_entropy import filtered_entropies
from ._generative_process import GenerativeProcess
from ._long_run import long_run_state
from ._matrix_process import MatrixProcess
from ._mixed_states import Generator, as_generator, capacity_for, levels
from ._mixture import Mixture
from ._mixture_choice import mixture_choice_entropies
from ._product import Product, for_each_distinct

# Up to this length a walk goes to the end; beyond it, until its entropies have come down to their limit.
_LONG = 128
# About five seconds.
_WORK = 30_000_000
# A state is stationary if a step changes it by less than the first number, summed over its entries. One that differs
# from the stationary state by less than the second is taken for it, and the error accounts for the difference.
_SAME_STATE, _NEAR = 1e-12, 1e-10
# The exact part of a mixture's walk ends with more vectors than this, or with more entries.
_MIXTURE_VECTORS, _MIXTURE_ENTRIES = 20_000, 400_000


class MyopicEntropies(NamedTuple):
    """The entropies h(1..length), with their errors."""

    values: Float[np.ndarray, " length"]
    """Nats."""
    errors: Float[np.ndarray, " length"]
    """The truth of each position lies within `value - error` and `value + error`, nats."""
    total_error: float
    """The same for the sum of all positions: far less than the sum of the errors."""


def myopic_entropies(process: GenerativeProcess, length: int) -> list[Estimate]:
    """The entropies `h(t) = H(X_t | X_1 ... X_{t-1})`, t = 1..length, from the process's own initial state.

    Exact (the error is zero) wherever few enough words differ in what they predict; else with an error:

    - An HMM: the truth lies within `[value - error, value]`, proven.
    - A GHMM with negative entries and at most 5 states: the value is still a proven upper bound, but for the error
      there is no proof, since no hidden states bound what merging forgets. It is the amount by which a walk with a
      quarter of the vectors lies above. The excess of a walk with n vectors in d dimensions goes like n^(-2/d), so up
      to d = 4 that overstates the error of the finer walk. In a long sequence, what the entropies may still fall after
      the walk's end is estimated by how far they fell in its second half (`_entropy_rate.py`).
    - A GHMM with more states, and any process whose error would be above 5e-5 per token: exact for the first tokens,
      and then means over drawn words. The truth lies within `value - error` and `value + error` with the probability
      `1 - 1e-6` (`_drawn_words.py`).
    - A mixture: the truth lies within `value - error` and `value + error`. The components' errors are those above;
      that of what is known of the component holds with the probability `1 - 1e-6` (`_component_choice.py`).
    - A product: the sums of the factors' entropies and errors.
    - A composite of other kinds: as its matrices while these have few states; else by drawn words.

    From a stationary state of matrices they never rise.

    Args:
        process: Any generative process; its initial state need not be stationary.
        length: The number of positions.

    Returns:
        One entropy in nats per position, with its error.

    Raises:
        ValueError: If `length` is negative.
    """
    values, errors, _ = bounded_myopic_entropies(process, length)
    return [Estimate(float(value), float(error)) for value, error in zip(values, errors, strict=True)]


def bounded_myopic_entropies(
    process: GenerativeProcess,
    length: int,
    *,
    state: Float[np.ndarray, " num_states"] | None = None,
    capacity: int | None = None,
) -> MyopicEntropies:
    """As `myopic_entropies`, in arrays, and with the error of the sum.

    Args:
        process: Any generative process.
        length: The number of positions.
        state: Where the sequences begin; None for the process's initial state.
        capacity: How many predictive vectors to keep; None for what takes seconds.
    """
    if length < 0:
        raise ValueError(f"`length` must be at least 0, got {length}")
    if length == 0:
        return MyopicEntropies(np.zeros(0), np.zeros(0), 0.0)
    start = process.initial_state if state is None else state
    if isinstance(process, Product):
        return _of_product(process, process.split_states(start), length, capacity)
    if isinstance(process, Mixture):
        posterior, states = process.split(start)
        pairs = zip(process.components, states, strict=True)
        alone = [bounded_myopic_entropies(component, length, state=own) for component, own in pairs]
        return _of_components(posterior, alone, mixture_choice_entropies(process, start, length))
    if not isinstance(process, MatrixProcess):
        matrices = process.as_matrices() if state is None else None
        if matrices is None or matrices.num_states > MOST_WALKED_STATES:
            return MyopicEntropies(*filtered_entropies(process, start, length))
        process, start = matrices, matrices.initial_state
    parts = components(process, start)
    entropies = [_component_entropies(part, length, capacity) for part in parts]
    if len(parts) == 1:
        return entropies[0]
    mixed = _mixed(process, start, parts, entropies, capacity)
    if not all(_is_stationary(part) for part in parts):
        return mixed
    return MyopicEntropies(*falling_fit(mixed.values, mixed.errors), mixed.total_error)


def _of_product(
    process: Product, states: list[Float[np.ndarray, " _"]], length: int, capacity: int | None
) -> MyopicEntropies:
    """The sums over factors; those that are alike are walked once."""

    def walk(factor_and_state: tuple[GenerativeProcess, Float[np.ndarray, " _"]]) -> MyopicEntropies:
        factor, state = factor_and_state
        return bounded_myopic_entropies(factor, length, state=state, capacity=capacity)

    walked = for_each_distinct(walk, zip(process.factors, states, strict=True))
    return MyopicEntropies(
        values=np.sum([found.values for found in walked], axis=0),
        errors=np.sum([found.errors for found in walked], axis=0),
        total_error=sum(found.total_error for found in walked),
    )


def falling_fit(
    values: Float[np.ndarray, " n"], errors: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Fits numbers whose true values never rise; their sum stays what it was.

    Neighbours that rise are replaced by their mean until none do (pooled adjacent violators). Within such a pool, the
    mean of any first few is at most the pool's and that of any last few at least the pool's. So each of its true values
    differs from the pool's mean by no more than the greatest error in the pool.

    Args:
        values: The numbers.
        errors: By how much each may be off.

    Returns:
        The fitted numbers and their errors.

    References:
        Barlow, Bartholomew, Bremner and Brunk, "Statistical inference under order restrictions" (1972), section 1.2.
    """
    pools: list[tuple[float, int, float]] = []  # mean, how many, greatest error
    for value, error in zip(values.tolist(), errors.tolist(), strict=True):
        pool = value, 1, error
        while pools and pools[-1][0] < pool[0]:
            mean, number, greatest = pools.pop()
            total = number + pool[1]
            pool = (mean * number + pool[0] * pool[1]) / total, total, max(greatest, pool[2])
        pools.append(pool)
    counts = [number for _, number, _ in pools]
    return np.repeat([mean for mean, _, _ in pools], counts), np.repeat([error for _, _, error in pools], counts)


def _mixed(
    process: MatrixProcess,
    state: Float[np.ndarray, " num_states"],
    parts: list[Component],
    entropies: list[MyopicEntropies],
    capacity: int | None,
) -> MyopicEntropies:
    """The components' mean entropies, and what each token tells of the component (`_component_choice.py`)."""
    generator, start = as_generator(process.transition_matrices, process.normalizer, state)
    weights = np.array([part.weight for part in parts])
    most = min(_MIXTURE_VECTORS, _MIXTURE_ENTRIES // process.num_states) if capacity is None else capacity
    choice = choice_entropies(generator, start, [part.states for part in parts], len(entropies[0].values), most)
    return _of_components(weights, entropies, choice)


def _of_components(
    weights: Float[np.ndarray, " components"], entropies: Sequence[MyopicEntropies], choice: ChoiceEntropies
) -> MyopicEntropies:
    return MyopicEntropies(
        values=weights @ [part.values for part in entropies] - np.diff(choice.values),
        errors=weights @ [part.errors for part in entropies] + choice.errors[:-1] + choice.errors[1:],
        total_error=float(weights @ [part.total_error for part in entropies] + choice.errors[-1]),
    )


def _component_entropies(component: Component, length: int, capacity: int | None) -> MyopicEntropies:
    """By a walk, where its error is known and small enough; else by drawn words."""
    if capacity is not None:
        return _walked_entropies(component, length, capacity)
    walked = None
    if component.generator.is_hmm or len(component.state) <= MOST_WALKED_STATES:
        walked = _walked_entropies(component, length, None)
        if walked.total_error < GOOD_ERROR * length:
            return walked
    drawn = filtered_entropies(as_process(component), component.state, length)
    if walked is not None and walked.total_error <= drawn.total_error:
        return walked
    if not _is_stationary(component):
        return MyopicEntropies(*drawn)
    return MyopicEntropies(*falling_fit(drawn.values, drawn.errors), drawn.total_error)


def _walked_entropies(component: Component, length: int, capacity: int | None) -> MyopicEntropies:
    if length > _LONG and capacity is None:
        limited = _until_the_limit(component, length)
        if limited.total_error < GOOD_ERROR * length:
            return limited
        # A process that forgets slowly is not at its limit yet. Both walks bound the entropies from above, but only the
        # one to the end says how far down they may be.
        walked = _to_the_end(component, length, capacity)
        values = np.minimum(limited.values, walked.values)
        errors = values - (walked.values - walked.errors)
        return MyopicEntropies(values, errors, walked.total_error - float((walked.values - values).sum()))
    return _to_the_end(component, length, capacity)


def _to_the_end(component: Component, length: int, capacity: int | None) -> MyopicEntropies:
    walked = _walked(component.generator, component.state, length, capacity)
    if not _is_stationary(component):
        return walked
    return walked._replace(values=np.minimum.accumulate(walked.values))


def _walked(
    generator: Generator, state: Float[np.ndarray, " num_states"], length: int, capacity: int | None
) -> MyopicEntropies:
    """A walk to the end."""
    capacity = capacity or capacity_for(generator, length)
    values, forgotten = _levels(generator, state, length, capacity)
    if np.isfinite(forgotten).all():
        errors = np.cumsum(forgotten)
        return MyopicEntropies(values, errors, float(errors[-1]))
    coarse, _ = _levels(generator, state, length, math.ceil(capacity / 4))
    errors = np.maximum(coarse - values, 0.0)
    return MyopicEntropies(values, errors, float(errors.sum()))


def _until_the_limit(component: Component, length: int) -> MyopicEntropies:
    """A walk until the past so far tells as much of the next token as an endless one would.

    A process that begins in another state than its stationary one is within `d` of it after some steps, entries added
    up and halved. From then on, an observer who looks at the last n tokens only, as many as the stationary walk has
    levels, has an entropy that differs from the stationary one by at most `d log(vocab) + (1 + d) H(d / (1 + d))`, H
    the entropy of a coin; so does a lower bound, an observer who also knows the hidden state n tokens ago.

    References:
        Winter, "Tight uniform continuity bounds for quantum entropies", Commun. Math. Phys. 347 (2016) 291, lemma 2.
    """
    generator, state, summed = component.generator, component.state, component.generator.transition_matrices.sum(axis=0)
    stationary = state if _is_stationary(component) else long_run_state(summed, state)
    limit = stationary_walk(generator, stationary, _WORK)
    distance = 0.0
    if _is_stationary(component):
        num_walked = min(length, len(limit.entropies))
        values, total = limit.entropies[:num_walked], limit.sum_errors[:num_walked]
        errors = np.minimum(total, values - limit.rate.value + limit.rate.error)
        walked = MyopicEntropies(values, errors, float(total[-1]))
    else:
        num_steps = 0
        while (distance := float(np.abs(state - stationary).sum()) / 2) > _NEAR and num_steps < length:
            state, num_steps = state @ summed, num_steps + 1
        num_walked = min(length, num_steps + len(limit.entropies))
        walked = _walked(generator, component.state, num_walked, None)
    num_filled = length - num_walked
    slack = _continuity(distance, len(generator.transition_matrices)) if num_filled else 0.0
    tail_value, tail_error = limit.rate.value + slack, limit.rate.error + 2 * slack
    return MyopicEntropies(
        np.concatenate([walked.values, np.full(num_filled, tail_value)]),
        np.concatenate([walked.errors, np.full(num_filled, tail_error)]),
        walked.total_error + num_filled * tail_error,
    )


def _continuity(distance: float, vocab_size: int) -> float:
    if distance == 0:
        return 0.0
    p = distance / (1 + distance)
    coin = -p * math.log(p) - (1 - p) * math.log1p(-p)
    return distance * math.log(vocab_size) + (1 + distance) * coin


def _is_stationary(component: Component) -> bool:
    summed = component.generator.transition_matrices.sum(axis=0)
    return bool(np.abs(component.state @ summed - component.state).sum() < _SAME_STATE)


def _levels(
    generator: Generator, state: Float[np.ndarray, " num_states"], length: int, capacity: int
) -> tuple[Float[np.ndarray, " length"], Float[np.ndarray, " length"]]:
    walked = list(islice(levels(generator, state[None], capacity), length))
    return np.array([level.entropy for level in walked]), np.array([level.forgotten for level in walked])
