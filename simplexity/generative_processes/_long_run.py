"""Long-run distributions of Markov chains, right to all digits however slowly the chain moves between its parts.

States are eliminated one after another: what would pass through one goes to where it leads next. No step subtracts, so
none loses digits: a probability of 1e-12 to switch counts like any other, where an eigenvector would take it for none.

References:
    Grassmann, Taksar and Heyman, "Regenerative analysis and steady state distributions for Markov chains", Operations
    Research 33 (1985) 1107.
"""

import numpy as np
from jaxtyping import Bool, Float

# Less than this is what rounding leaves of zero.
_NO_PROBABILITY = 1e-15


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
    """The one distribution that an irreducible chain keeps."""
    rates = np.where(matrix > _NO_PROBABILITY, matrix, 0.0)
    for state in range(len(rates) - 1, 0, -1):
        rates[:state, state] /= rates[state, :state].sum()
        rates[:state, :state] += np.outer(rates[:state, state], rates[state, :state])
    distribution = np.ones(len(rates))
    for state in range(1, len(rates)):
        distribution[state] = distribution[:state] @ rates[:state, state]
    return distribution / distribution.sum()


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
