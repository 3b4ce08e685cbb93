"""Myopic entropies: how uncertain each next token is, for one who knows the process and all tokens before."""

import math
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ._estimate import Estimate
from ._generative_process import GenerativeProcess
from ._mixed_states import Generator, as_generator, capacity_for, levels


class MyopicEntropies(NamedTuple):
    """h(1..length) from above, with what they may be too great by."""

    values: Float[np.ndarray, " length"]
    """Nats, each at least the true one."""
    errors: Float[np.ndarray, " length"]
    """The excess of each position, nats, at most."""
    total_error: float
    """The excess of all positions together, nats, at most: for an HMM no more than the last position's bound."""


def myopic_entropies(process: GenerativeProcess, length: int) -> list[Estimate]:
    """The entropies `h(t) = H(X_t | X_1 ... X_{t-1})`, t = 1..length, from the process's own initial state.

    Exact (the error is zero) wherever few enough words differ in what they predict; else an upper bound with an error:

    - An HMM: the truth lies within `[value - error, value]`, proven. The bound is on the excess of this and all earlier
      positions together, so for a mean over positions `loss_optimum` divides it by their number.
    - A GHMM with negative entries: the value is still a proven upper bound, but for the error there is no proof. It is
      the amount by which a walk with a quarter of the vectors lies above. The excess of a walk with n vectors in d
      dimensions goes like n^(-2/d), so up to d = 4 that overstates the error of the finer walk.

    Args:
        process: Any generative process; its initial state need not be stationary.
        length: The number of positions.

    Raises:
        ValueError: If `length` is negative.
    """
    values, errors, _ = bounded_myopic_entropies(process, length)
    return [Estimate(float(value), float(error)) for value, error in zip(values, errors, strict=True)]


def bounded_myopic_entropies(process: GenerativeProcess, length: int, capacity: int | None = None) -> MyopicEntropies:
    """As `myopic_entropies`, in arrays, and with the error of the sum.

    Args:
        process: Any generative process.
        length: The number of positions.
        capacity: How many predictive vectors to keep; None for what takes about a second.
    """
    if length < 0:
        raise ValueError(f"`length` must be at least 0, got {length}")
    generator, state = as_generator(process.transition_matrices, process.normalizer, process.initial_state)
    start = state[None]
    capacity = capacity or capacity_for(generator, max(length, 1))
    values, forgotten = _walk(generator, start, length, capacity)
    if np.isfinite(forgotten).all():
        errors = np.cumsum(forgotten)
        return MyopicEntropies(values, errors, float(errors[-1]) if length else 0.0)
    coarse, _ = _walk(generator, start, length, math.ceil(capacity / 4))
    errors = np.maximum(coarse - values, 0.0)
    return MyopicEntropies(values, errors, float(errors.sum()))


def _walk(
    generator: Generator, start: Float[np.ndarray, "1 num_states"], length: int, capacity: int
) -> tuple[Float[np.ndarray, " length"], Float[np.ndarray, " length"]]:
    walked = list(islice(levels(generator, start, capacity), length))
    return np.array([level.entropy for level in walked]), np.array([level.forgotten for level in walked])
