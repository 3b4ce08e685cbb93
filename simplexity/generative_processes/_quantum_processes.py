"""Quantum and post-quantum processes: no finite HMM generates them, but a GHMM of three or four dimensions does."""

import math

import numpy as np

from ._checks import check_interval
from ._ghmm import GHMM, dominant_eigenvalue


def fanizza(alpha: float, lamb: float) -> GHMM:
    """The FRDN process (Fox, Rubin, Dharmadhikari, Nadkarni): runs whose length has an oscillating distribution.

    Token 0 resets the process; token 1 continues the run. After a reset, the probability of a run of exactly `k >= 1`
    ones is `lamb^k / 2` times `1 - cos(angle + k alpha)`, for an angle that `alpha` and `lamb` determine. The rotation
    by `alpha` is what a finite HMM cannot keep when `alpha / pi` is irrational.

    The matrices are `T0 = w pi0` (a column times the row `pi0` that it resets to) and
    `T1 = lamb (0 + 1 + rotation by alpha)`, block-diagonal; their rows sum to one, so the normaliser is all ones. The
    stationary state is `pi0 (1 - T1)^-1`, divided by the mean run length plus one. The entropy rate is that of a
    renewal process, a series: the entropy of a run's length per mean run length plus one.

    Args:
        alpha: The angle of rotation in radians, any finite number.
        lamb: The rate of decay, in (0, 1/2].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Fanizza, Lumbreras and Winter, Quantum theory in finite dimension cannot explain every general process with
        finite memory, Commun. Math. Phys. 405 (2024) 50, arXiv:2209.11225; Riechers, Elliott and Shai, Neural networks
        leverage nominally quantum and post-quantum representations (2025), arXiv:2507.07432.
    """
    check_interval(-math.inf, math.inf, low_open=True, high_open=True, alpha=alpha)
    check_interval(0.0, 0.5, low_open=True, lamb=lamb)
    cos, sin = lamb * math.cos(alpha), lamb * math.sin(alpha)
    exits = np.array([1, 1 - lamb, 1 - cos + sin, 1 - cos - sin])
    # (1 - T1)^-1 applied to `exits` must be all ones, and a run that never began must keep what is left over of 1.
    oscillation = exits[2:] / ((1 - cos) ** 2 + sin**2)
    reset = np.array([0, 1 / (2 * (1 - lamb)), *(-oscillation / 4)])
    reset[0] = 1 - reset.sum()
    continues = np.zeros((4, 4))
    continues[1, 1] = lamb
    continues[2:, 2:] = [[cos, -sin], [sin, cos]]
    return GHMM(np.stack([np.outer(exits, reset), continues]))


def post_quantum(log_alpha: float, beta: float) -> GHMM:
    """A process that neither a finite HMM nor a finite quantum system generates.

    Token 0 resets the process; tokens 1 and 2 multiply a number `z`, 1 after the reset, by `alpha = exp(log_alpha)` and
    by `beta`. Up to a factor per token, the next reset has the probability `z - 1 - log z`, which is zero at `z = 1`
    only: right after a reset (two resets never follow each other), or when the factors cancel. They never do if
    `log_alpha / log beta` is irrational; that is what excludes finite quantum models.

    The matrices are `T0 = (1, 1, 0)^T (1, -1, -1)` and, for `v` = alpha, beta, the maps that multiply the first
    coordinate by `v` and add `log v` times the third to the second; all are divided by the dominant eigenvalue of their
    sum. The stationary state is that sum's left eigenvector. The entropy rate has no closed form.

    Args:
        log_alpha: The logarithm of alpha, in (0, 20].
        beta: In (0, 1).

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Fanizza, Lumbreras and Winter (2024), arXiv:2209.11225; Riechers, Elliott and Shai (2025), arXiv:2507.07432.
    """
    check_interval(0.0, 20.0, low_open=True, log_alpha=log_alpha)
    check_interval(0.0, 1.0, low_open=True, high_open=True, beta=beta)
    reset = np.outer([1.0, 1, 0], [1, -1, -1])
    multiply = [np.array([[math.exp(log_v), 0, 0], [0, 1, 0], [0, log_v, 1]]) for log_v in (log_alpha, math.log(beta))]
    matrices = np.stack([reset, *multiply])
    try:
        return GHMM(matrices / dominant_eigenvalue(matrices.sum(axis=0)).real)
    except ValueError:
        raise ValueError(
            "`log_alpha` and `beta` must not be so near to 0 and 1 that rounding hides what they do, "
            f"got {log_alpha} and {beta}"
        ) from None


def frdn(alpha: float, lamb: float) -> GHMM:
    """The FRDN process: another name of `fanizza`, with the same parameters.

    Args:
        alpha: The angle of rotation in radians, any finite number.
        lamb: The rate of decay, in (0, 1/2].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        As of `fanizza`. The name: Riechers, Elliott and Shai (2025), arXiv:2507.07432.
    """
    return fanizza(alpha, lamb)


def moon(log_alpha: float, beta: float) -> GHMM:
    """The Moon process: another name of `post_quantum`, with the same parameters.

    Args:
        log_alpha: The logarithm of alpha, in (0, 20].
        beta: In (0, 1).

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        As of `post_quantum`. The name: Riechers, Elliott and Shai (2025), arXiv:2507.07432.
    """
    return post_quantum(log_alpha, beta)


def bloch_walk(angle: float, p_z: float) -> GHMM:
    """The Bloch Walk by its angle of measurement, with any probability to measure along z.

    A measurement tells the component along its axis with the strength `sin(angle)`, and multiplies the other component
    by `cos(angle)`. At the angle pi/2 it is projective. Tokens 0 and 1 are the outcomes along z, 2 and 3 along x.
    `tom_quantum(alpha, beta)` is `bloch_walk(2 arctan(beta / alpha), 1/2)`.

    A predictive vector is (1, r_x, r_z), with the Bloch vector in the unit disk: the normaliser is (1, 0, 0). The
    stationary state is (1, 0, 0), the fully mixed qubit. The entropy rate has no closed form.

    Args:
        angle: The angle in radians, in (0, pi).
        p_z: The probability to measure along z, in (0, 1); else along x.

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Riechers, Elliott and Shai (2025), arXiv:2507.07432, at p_z = 1/2 and the angle 2 arctan(sqrt(51)).
    """
    check_interval(0.0, math.pi, low_open=True, high_open=True, angle=angle)
    check_interval(0.0, 1.0, low_open=True, high_open=True, p_z=p_z)
    strength, kept = math.sin(angle), math.cos(angle)
    matrices = np.zeros((4, 3, 3))
    for token, (axis, sign, share) in enumerate([(2, 1, p_z), (2, -1, p_z), (1, 1, 1 - p_z), (1, -1, 1 - p_z)]):
        np.fill_diagonal(matrices[token], kept * share / 2)
        matrices[token][[0, axis], [0, axis]] = share / 2
        matrices[token][[0, axis], [axis, 0]] = sign * strength * share / 2
    mixed = np.array([1.0, 0.0, 0.0])
    return GHMM(matrices, initial_state=mixed, normalizer=mixed)


def quantum_rrxor(phi: float, theta: float) -> GHMM:
    """The Quantum RRXOR process: a qubit is rotated, then measured weakly by way of a second qubit, over and over.

    The Kraus operators are `D_x R`, with `R` the rotation by `phi` about y, `D_0 = diag(c, -i s)`, `D_1 = diag(-i s,
    c)`, `c = cos(theta / 2)` and `s = sin(theta / 2)`. At theta = 0 or pi the measurement is projective, and the
    process a Markov chain of two tokens that changes its token with the probability `sin(phi / 2)^2`; at theta = pi/2
    it tells nothing, and the process is a fair coin. It has RRXOR's name, but contains RRXOR at no parameters.

    A predictive vector is (1, r_x, r_y, r_z), with the Bloch vector in the unit ball: the normaliser is (1, 0, 0, 0).
    The stationary state is the fully mixed qubit (of others too if phi is a multiple of 2 pi, this is the one used).
    The entropy rate has no closed form.

    Args:
        phi: The angle of rotation in radians, any finite number.
        theta: The angle of the measurement in radians, in [0, pi].

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Riechers and Crutchfield, Fraudulent white noise: flat power spectra belie arbitrarily complex processes, Phys.
        Rev. Research 3 (2021) 013170; Riechers, Elliott and Shai (2025), arXiv:2507.07432, on quantum processes. No
        published parameters.
    """
    check_interval(-math.inf, math.inf, low_open=True, high_open=True, phi=phi)
    check_interval(0.0, math.pi, theta=theta)
    (c, s), (cos, sin) = ((math.cos(angle / 2), math.sin(angle / 2)) for angle in (theta, phi))
    rotation = np.array([[cos, -sin], [sin, cos]])
    kraus = np.array([np.diag([c, -1j * s]), np.diag([-1j * s, c])]) @ rotation
    pauli = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    # T[x, i, j] = tr(pauli_j K_x pauli_i K_x^dagger) / 2 takes the Bloch vector of rho to that of K_x rho K_x^dagger.
    matrices = np.einsum("jab,xbc,icd,xad->xij", pauli, kraus, pauli, kraus.conj()).real / 2
    matrices[np.abs(matrices) < 1e-16] = 0.0
    mixed = np.array([1.0, 0.0, 0.0, 0.0])
    return GHMM(matrices, initial_state=mixed, normalizer=mixed)


def tom_quantum(alpha: float, beta: float) -> GHMM:
    """The Bloch Walk: a qubit measured weakly along x or along z at every step, by a fair coin's choice.

    Tokens 0 and 1 are the outcomes along one axis, 2 and 3 along the other; the Kraus operators are
    `(alpha 1 +- beta sigma) / (2 sqrt(alpha^2 + beta^2))`. A predictive vector is (1, r_1, r_2), with the Bloch vector
    in the unit disk: the normaliser is (1, 0, 0). The nearer `alpha / beta` is to 1, the stronger the measurement, and
    a projective one (alpha = beta) leaves four states only.

    The stationary state is (1, 0, 0), the fully mixed qubit, at which all four tokens are equally likely. The entropy
    rate has no closed form.

    Args:
        alpha: The weight of the identity, any finite number.
        beta: The weight of the Pauli matrix, any finite number but 0 (nothing would be measured).

    Raises:
        ValueError: If a parameter lies outside its domain.

    References:
        Riechers, Elliott and Shai, Neural networks leverage nominally quantum and post-quantum representations (2025),
        arXiv:2507.07432: the Bloch Walk.
    """
    check_interval(-math.inf, math.inf, low_open=True, high_open=True, alpha=alpha, beta=beta)
    if beta == 0:
        raise ValueError("`beta` must not be 0: nothing would be measured")
    # Only their ratio matters, and a square might overflow.
    greatest = max(abs(alpha), abs(beta))
    alpha, beta = alpha / greatest, beta / greatest
    scale = 1 / (4 * (alpha**2 + beta**2))
    keep, kick = (alpha**2 - beta**2) * scale, 2 * alpha * beta * scale
    matrices = np.zeros((4, 3, 3))
    for token, (axis, sign) in enumerate([(2, 1), (2, -1), (1, 1), (1, -1)]):
        np.fill_diagonal(matrices[token], keep)
        matrices[token][[0, axis], [0, axis]] = 1 / 4
        matrices[token][[0, axis], [axis, 0]] = sign * kick
    # Given explicitly: where rounding hides a weak measurement, every state would be stationary.
    mixed = np.array([1.0, 0.0, 0.0])
    return GHMM(matrices, initial_state=mixed, normalizer=mixed)
