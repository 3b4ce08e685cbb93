"""Textbook processes over the tokens 0 and 1, all unifilar: the state and the token determine the next state.

Their entropy rates are therefore exact, `sum_i pi_i H(token | i)`; `H(p)` below is the entropy of a coin in nats.
"""

import numpy as np

from ._checks import check_interval
from ._hmm import HMM


def coin(p: float) -> HMM:
    """A biased coin: independent tokens, 0 with probability `p`. One state; entropy rate `H(p)`.

    Args:
        p: The probability of token 0, in [0, 1].

    Raises:
        ValueError: If `p` lies outside its domain.

    References:
        Cover and Thomas, Elements of Information Theory (2nd ed., 2006), Section 2.1.
    """
    check_interval(0.0, 1.0, p=p)
    return HMM(np.array([[[p]], [[1 - p]]]))


def even_ones(p: float) -> HMM:
    """The Even process: ones come in blocks of even length, between zeros.

    From state A, the process emits 0 and stays, or emits 1 and goes to B, which emits 1 and returns. It has infinite
    Markov order: only a zero tells whether the number of ones so far is even.

    Stationary distribution `[1, p] / (1 + p)`; entropy rate `H(p) / (1 + p)`.

    Args:
        p: The probability to begin a pair of ones, in [0, 1].

    Raises:
        ValueError: If `p` lies outside its domain.

    References:
        Crutchfield and Feldman, Regularities unseen, randomness observed: levels of entropy convergence,
        Chaos 13 (2003) 25, arXiv:cond-mat/0102181: the Even process, with p = 1/2.
    """
    check_interval(0.0, 1.0, p=p)
    return HMM(np.array([[[1 - p, 0], [0, 0]], [[0, p], [1.0, 0]]]))


def no_consecutive_ones(p: float) -> HMM:
    """The Golden Mean process: a one is always followed by a zero. Markov order one.

    From state A, the process emits 0 and stays, or emits 1 and goes to B, which emits 0 and returns.

    Stationary distribution `[1, p] / (1 + p)`; entropy rate `H(p) / (1 + p)`.

    Args:
        p: The probability of a one where it is allowed, in [0, 1].

    Raises:
        ValueError: If `p` lies outside its domain.

    References:
        Lind and Marcus, An Introduction to Symbolic Dynamics and Coding (1995), Example 1.2.3 (the golden mean
        shift); Crutchfield and Feldman (2003), arXiv:cond-mat/0102181, with p = 1/2.
    """
    check_interval(0.0, 1.0, p=p)
    return HMM(np.array([[[1 - p, 0], [1.0, 0]], [[0, p], [0, 0]]]))


def zero_one_random(p: float) -> HMM:
    """The Z1R process: a zero, a one, then a random bit, over and over.

    Stationary distribution `[1, 1, 1] / 3` over the three phases; entropy rate `H(p) / 3`. The phase is hidden, and the
    belief states that infer it form the small tree which is the belief-geometry literature's first example.

    Args:
        p: The probability that the random bit is 1, in [0, 1].

    Raises:
        ValueError: If `p` lies outside its domain.

    References:
        Shai et al., Transformers represent belief state geometry in their residual stream (2024), arXiv:2405.15943,
        with p = 1/2.
    """
    check_interval(0.0, 1.0, p=p)
    matrices = np.zeros((2, 3, 3))
    zero, one, random = range(3)
    matrices[0, zero, one] = 1
    matrices[1, one, random] = 1
    matrices[:, random, zero] = 1 - p, p
    return HMM(matrices)


def even_process(p: float) -> HMM:
    """The Even process: another name of `even_ones`, with the same parameter.

    Args:
        p: The probability to begin a pair of ones, in [0, 1].

    Raises:
        ValueError: If `p` lies outside its domain.

    References:
        As of `even_ones`. The name: Crutchfield and Feldman (2003), arXiv:cond-mat/0102181.
    """
    return even_ones(p)


def golden_mean(p: float) -> HMM:
    """The Golden Mean process: another name of `no_consecutive_ones`, with the same parameter.

    Args:
        p: The probability of a one where it is allowed, in [0, 1].

    Raises:
        ValueError: If `p` lies outside its domain.

    References:
        As of `no_consecutive_ones`. The name: Crutchfield and Feldman (2003), arXiv:cond-mat/0102181.
    """
    return no_consecutive_ones(p)


def z1r(p: float) -> HMM:
    """The Z1R process: another name of `zero_one_random`, with the same parameter.

    Args:
        p: The probability that the random bit is 1, in [0, 1].

    Raises:
        ValueError: If `p` lies outside its domain.

    References:
        As of `zero_one_random`. The name: Shai et al. (2024), arXiv:2405.15943.
    """
    return zero_one_random(p)


def rip(p: float, q: float) -> HMM:
    """The Random Insertion process: a random bit, after a zero another random bit, then a one, over and over.

    From state A, the process emits 0 and goes to B, with probability `p`, or emits 1 and goes to C. B emits the
    inserted bit and goes to C, which emits 1 and returns to A.

    Stationary distribution `[1, p, 1] / (2 + p)`; entropy rate `(H(p) + p H(q)) / (2 + p)`.

    Args:
        p: The probability that the first bit is 0, and another is inserted, in [0, 1].
        q: The probability that the inserted bit is 0, in [0, 1].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Ellison, Mahoney and Crutchfield, Prediction, retrodiction, and the amount of information stored in the present,
        J. Stat. Phys. 136 (2009) 1005, arXiv:0905.3587.
    """
    check_interval(0.0, 1.0, p=p, q=q)
    zero = [[0, p, 0], [0, 0, q], [0, 0, 0]]
    one = [[0, 0, 1 - p], [0, 0, 1 - q], [1.0, 0, 0]]
    return HMM(np.array([zero, one]))


def nemo(p: float, q: float) -> HMM:
    """The Nemo process: zeros, then two ones and a random bit, over and over.

    From state A, the process emits 0 and stays, with probability `p`, or emits 1 and goes to B. B emits 1 and goes to
    C, which emits 0 with probability `q`, else 1, and returns to A. Its cryptic order is infinite.
    A port of CMPy, the authors' program, has the same process with the tokens 0 and 1 swapped.

    Stationary distribution `[1, 1 - p, 1 - p] / (3 - 2 p)`; entropy rate `(H(p) + (1 - p) H(q)) / (3 - 2 p)`.

    Args:
        p: The probability to stay in A, in [0, 1].
        q: The probability that C emits 0, in [0, 1].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Mahoney, Ellison and Crutchfield, Information accessibility and cryptic processes, J. Phys. A 42 (2009) 362002,
        arXiv:0905.4787.
    """
    check_interval(0.0, 1.0, p=p, q=q)
    zero = [[p, 0, 0], [0, 0, 0], [q, 0, 0]]
    one = [[0, 1 - p, 0], [0, 0, 1.0], [1 - q, 0, 0]]
    return HMM(np.array([zero, one]))
