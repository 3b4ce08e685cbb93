"""Checks that HMM and GHMM share, and the fixed vectors of the summed transition matrices."""

import numpy as np
from jaxtyping import Float

from ._long_run import long_run_distribution, recurrent_classes

# Rows typed with six digits and float32 files pass; a forgotten transition does not.
ROW_SUM_TOLERANCE = 1e-6
# Singular values of T - 1 below the first are rounding, and stand for the eigenvalue 1; those above the second do not.
# Between them they could be either.
_ROUNDING, _RELAXATION = 1e-12, 1e-10
# A state that changes by less than this in a step, relative to its entries, is fixed.
_FIXED = 1e-14


def check_shape(transition_matrices: Float[np.ndarray, "..."]) -> None:
    """Raises ValueError unless the array is a non-empty stack of finite square matrices."""
    shape = transition_matrices.shape
    if len(shape) != 3 or shape[1] != shape[2] or 0 in shape:
        raise ValueError(
            "`transition_matrices` must be square matrices of one size, one per token "
            f"(shape [tokens, states, states]), got the shape {list(shape)}"
        )
    if not np.isfinite(transition_matrices).all():
        token, row, column = np.argwhere(~np.isfinite(transition_matrices))[0]
        value = transition_matrices[token, row, column]
        raise ValueError(
            f"`transition_matrices` must be finite, got {value} at token {token}, row {row}, column {column}"
        )


def check_state_length(initial_state: Float[np.ndarray, " num_states"], num_states: int) -> None:
    """Raises ValueError unless there is one finite number per state."""
    if initial_state.shape != (num_states,):
        raise ValueError(
            f"`initial_state` must have {num_states} entries, one per state, got the shape {list(initial_state.shape)}"
        )
    if not np.isfinite(initial_state).all():
        raise ValueError(f"`initial_state` must be finite, got {initial_state.tolist()}")


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
