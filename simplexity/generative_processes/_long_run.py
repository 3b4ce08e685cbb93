"""Long-run states: what a process approaches on average over time, and the stationary states of its matrices.

For Markov chains they are right to all digits, however slowly the chain moves between its parts. States are eliminated
one after another: the probability that would pass through an eliminated state goes to where that state leads. No step
subtracts, so none loses digits: a probability of 1e-12 to switch counts like any other, where the computation of an
eigenvector would take it for zero. For matrices with negative entries they come from the fixed vectors.

References:
    Grassmann, Taksar and Heyman, "Regenerative analysis and steady state distributions for Markov chains", Operations
    Research 33 (1985) 1107.
"""

import numpy as np
from jaxtyping import Bool, Float

# Rounding leaves less than this where the exact value is zero.
_NO_PROBABILITY = 1e-15
# Singular values of T - 1 below the first are rounding, and stand for the eigenvalue 1; those above the second do not.
# Those between the two could be either.
_ROUNDING, _RELAXATION = 1e-12, 1e-10
# A state that changes by less than this in a step, relative to its entries, is fixed.
_FIXED = 1e-14


def recurrent_classes(matrix: Float[np.ndarray, "n n"]) -> list[Bool[np.ndarray, " n"]]:
    """The sets of states that a chain never leaves once it is in them, as masks; there is at least one."""
    reached = (matrix > _NO_PROBABILITY) | np.eye(len(matrix), dtype=bool)
    while ((further := reached @ reached) != reached).any():
        reached = further
    returns = (~reached | reached.T).all(axis=1)
    return list(np.unique(reached[returns], axis=0))


def long_run_distribution(
    matrix: Float[np.ndarray, "n n"], distribution: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The average over time of `distribution @ matrix^t`, t = 0, 1, 2, ..., also of a chain that is periodic.

    Args:
        matrix: Transition probabilities; rows sum to one.
        distribution: Where the chain begins.
    """
    classes = recurrent_classes(matrix)
    absorbed = _absorbed(matrix, distribution, np.any(classes, axis=0))
    result = np.zeros(len(matrix))
    for states in classes:
        result[states] = absorbed[states].sum() * stationary_distribution(matrix[states][:, states])
    return result


def stationary_distribution(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """The stationary distribution of an irreducible chain."""
    rates = np.where(matrix > _NO_PROBABILITY, matrix, 0.0)
    for state in range(len(rates) - 1, 0, -1):
        rates[:state, state] /= rates[state, :state].sum()
        rates[:state, :state] += np.outer(rates[:state, state], rates[state, :state])
    distribution = np.ones(len(rates))
    for state in range(1, len(rates)):
        distribution[state] = distribution[:state] @ rates[:state, state]
    return distribution / distribution.sum()


def is_markov_chain(matrix: Float[np.ndarray, "n n"]) -> bool:
    """Whether the entries are probabilities to go from state to state."""
    return bool((matrix >= 0).all() and (np.abs(matrix.sum(axis=1) - 1) <= _ROUNDING).all())


def left_fixed_vectors(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "k n"]:
    """An orthonormal basis of the row vectors `v` with `v @ matrix == v`.

    Raises:
        ValueError: If the matrix is so near to having another one that rounding decides whether it has.
    """
    _, singular_values, right = np.linalg.svd(matrix.T - np.eye(len(matrix)))
    relative = singular_values / max(1.0, singular_values[0])
    doubtful = relative[(relative > _ROUNDING) & (relative < _RELAXATION)]
    if len(doubtful):
        raise ValueError(
            "`transition_matrices` of a GHMM, summed over tokens, must forget the past at a rate of at least "
            f"{_RELAXATION:g} per token or not at all, got about {doubtful[-1]:.1g}"
        )
    return right[relative <= _ROUNDING]


def unique_stationary_state(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """The stationary state of the summed transition matrices, up to its scale.

    Raises:
        ValueError: If there is more than one: the process is non-ergodic, and only an initial state tells what it does.
    """
    is_chain = is_markov_chain(matrix)
    fixed = recurrent_classes(matrix) if is_chain else left_fixed_vectors(matrix)
    if len(fixed) != 1:
        raise ValueError(
            "`initial_state` must be given: the stationary state is not unique "
            f"(the summed `transition_matrices` have {len(fixed)} independent ones)"
        )
    return long_run_distribution(matrix, np.full(len(matrix), 1 / len(matrix))) if is_chain else fixed[0]


def long_run_state(matrix: Float[np.ndarray, "n n"], state: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The average over time of `state @ matrix^t`, t = 0, 1, 2, ...

    It is the projection of `state` along the eigenspaces of all other eigenvalues, `state R (L R)^-1 L` with `L` and
    `R` the left and right fixed vectors. It exists for periodic and for non-ergodic processes too.

    Raises:
        ValueError: If rounding would decide what it is: see `left_fixed_vectors`.
    """
    if is_markov_chain(matrix) and (state >= 0).all():
        return long_run_distribution(matrix, state)
    if np.abs(state @ matrix - state).max() <= _FIXED * np.abs(state).max():
        return state
    left = left_fixed_vectors(matrix)
    right = left_fixed_vectors(matrix.T).T
    return state @ right @ np.linalg.solve(left @ right, left)


def _absorbed(
    matrix: Float[np.ndarray, "n n"], distribution: Float[np.ndarray, " n"], recurrent: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Where a chain enters the recurrent states, or begins in them."""
    rates, masses = np.where(matrix > _NO_PROBABILITY, matrix, 0.0), distribution.astype(np.float64)
    remaining = np.ones(len(rates), dtype=bool)
    for state in np.flatnonzero(~recurrent):
        remaining[state] = False
        leads_to = np.where(remaining, rates[state], 0.0)
        leads_to /= leads_to.sum()
        rates += np.outer(rates[:, state], leads_to)
        masses = masses + masses[state] * leads_to
    return np.where(recurrent, masses, 0.0)
