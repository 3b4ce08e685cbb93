"""RRXOR: two random bits, then their exclusive or."""

import numpy as np
from jaxtyping import Float

from ._checks import check_interval
from ._hmm import HMM


def rrxor(p1: float, p2: float) -> HMM:
    """The RRXOR process: a random bit, a second random bit, their exclusive or, over and over.

    The five states are: before the first bit; after a first bit 0, or 1; about to emit an exclusive or of 1, or of 0.
    The process is unifilar, but an observer who does not know the phase needs 31 more belief states to find it (at p1 =
    p2 = 1/2).

    Stationary distribution `[1, p1, 1 - p1, r, 1 - r] / 3` with `r = p1 (1 - p2) + (1 - p1) p2`; entropy rate
    `(H(p1) + H(p2)) / 3`, with `H` the entropy of a coin.

    Args:
        p1: The probability that the first bit is 0, in [0, 1].
        p2: The probability that the second bit is 0, in [0, 1].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Crutchfield and Feldman, Regularities unseen, randomness observed: levels of entropy convergence,
        Chaos 13 (2003) 25, arXiv:cond-mat/0102181; Shai et al. (2024), arXiv:2405.15943, with p1 = p2 = 1/2.
    """
    check_interval(0.0, 1.0, p1=p1, p2=p2)
    return HMM(_rrxor_matrices(p1, p2))


def leaky_rrxor(p1: float, p2: float, epsilon: float) -> HMM:
    """RRXOR that, with probability `epsilon`, emits a random token and jumps to a random state instead.

    The leak makes every word possible and the process forget its phase. It is no longer unifilar, and its entropy rate
    has no closed form. The stationary distribution solves `pi = (1 - epsilon) pi T + epsilon / 5`, with `T` the state
    transitions of `rrxor(p1, p2)`.

    Args:
        p1: The probability that the first bit is 0, in [0, 1].
        p2: The probability that the second bit is 0, in [0, 1].
        epsilon: The probability of a leak at each token, in [0, 1].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        A variant of the RRXOR process, without a published source.
    """
    check_interval(0.0, 1.0, p1=p1, p2=p2, epsilon=epsilon)
    matrices = _rrxor_matrices(p1, p2)
    # A leak picks each of the two tokens and five states with equal probability.
    return HMM((1 - epsilon) * matrices + epsilon / 10)


def _rrxor_matrices(p1: float, p2: float) -> Float[np.ndarray, "vocab from to"]:
    start, zero, one, odd, even = range(5)
    matrices = np.zeros((2, 5, 5))
    matrices[0, start, zero] = p1
    matrices[1, start, one] = 1 - p1
    matrices[0, zero, even] = matrices[0, one, odd] = p2
    matrices[1, zero, odd] = matrices[1, one, even] = 1 - p2
    matrices[1, odd, start] = 1
    matrices[0, even, start] = 1
    return matrices
