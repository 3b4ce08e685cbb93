"""Processes whose token and state leave the next state open, and so have infinitely many belief states."""

import numpy as np

from ._checks import LEAST_RATE, check_interval
from ._hmm import HMM


def mess3(x: float, a: float) -> HMM:
    """The Mess3 process: three states that mostly stay, each mostly emitting its own token.

    A step moves to each of the other two states with probability `x`; the state arrived at emits its own token with
    probability `a`, and each other one with `(1 - a) / 2`. The belief states fill a fractal in the 2-simplex. By the
    symmetry of the states the stationary distribution is uniform (the one used for x = 0, where any is stationary). The
    entropy rate has no closed form.

    Args:
        x: The probability to move to each other state, in [0, 1/2].
        a: The probability to emit the state's own token, in [0, 1].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Shai et al., Transformers represent belief state geometry in their residual stream (2024), arXiv:2405.15943,
        with x = 0.05 and a = 0.85; on such fractals of belief states: Marzen and Crutchfield, Nearly maximally
        predictive features and their dimensions, Phys. Rev. E 95 (2017) 051301(R), arXiv:1702.08565.
    """
    check_interval(0.0, 0.5, x=x)
    check_interval(0.0, 1.0, a=a)
    moves = np.full((3, 3), x) + (1 - 3 * x) * np.eye(3)
    emissions = np.full((3, 3), (1 - a) / 2) + (3 * a - 1) / 2 * np.eye(3)
    matrices = np.einsum("ij,jx->xij", moves, emissions)
    return HMM(matrices, initial_state=np.full(3, 1 / 3))


def mess(num_states: int, x: float, a: float) -> HMM:
    """Mess3 with any number of states: they mostly stay, and each mostly emits its own token.

    A step moves to each of the other states with probability `x`; the state arrived at emits its own token with
    probability `a`, and each other one with `(1 - a) / (num_states - 1)`. By the symmetry of the states the stationary
    distribution is uniform (the one used for x = 0, where any is stationary). The entropy rate has no closed form.

    Args:
        num_states: The number of states and of tokens, at least 2.
        x: The probability to move to each other state, in [0, 1 / (num_states - 1)].
        a: The probability to emit the state's own token, in [0, 1].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        The generalisation of `mess3` (arXiv:2405.15943), without published parameters of its own.
    """
    if num_states < 2:
        raise ValueError(f"`num_states` must be at least 2, got {num_states}")
    check_interval(0.0, 1 / (num_states - 1), x=x)
    check_interval(0.0, 1.0, a=a)
    identity = np.eye(num_states)
    moves = x + (1 - num_states * x) * identity
    other = (1 - a) / (num_states - 1)
    emissions = other + (a - other) * identity
    # At the end of its interval, rounding may leave x a little too much of a row.
    matrices = np.maximum(np.einsum("ij,jx->xij", moves, emissions), 0.0)
    return HMM(matrices, initial_state=np.full(num_states, 1 / num_states))


def sns(p: float, q: float) -> HMM:
    """The simple nonunifilar source: long runs of zeros in which a hidden switch falls, then a one that resets it.

    State A emits only zeros, and moves to B with probability `p`. State B emits a zero and stays, or, with probability
    `q`, emits a one and returns to A. Only a one shows the state, and every number of zeros since then is a belief
    state of its own.

    Stationary distribution `[q, p] / (p + q)`. The process is a renewal process, whose entropy rate is a series:
    `pi_B q` times the entropy of the number of zeros between ones.

    Args:
        p: The probability to leave A, in [1e-12, 1].
        q: The probability to leave B, in [1e-12, 1].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Marzen and Crutchfield, Informational and causal architecture of discrete-time renewal processes, Entropy 17
        (2015) 4891, arXiv:1408.6876: the parametrised simple nonunifilar source; also arXiv:1702.08565, Figure 2.
    """
    check_interval(LEAST_RATE, 1.0, p=p, q=q)
    return HMM(np.array([[[1 - p, p], [0, 1 - q]], [[0, 0], [q, 0]]]))
