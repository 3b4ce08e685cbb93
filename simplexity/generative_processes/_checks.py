"""Checks of what a process is given: the domains of parameters, the entries of matrices, the probabilities of words."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

LEAST_RATE = 1e-12
"""The least probability of something that a process must do: well above the rounding of one."""
ROW_SUM_TOLERANCE = 1e-6
"""Rows typed with six digits and float32 files pass; a forgotten transition does not."""

# A word is extended while no more words than this have its length (length 12 of two tokens, 7 of three, 6 of four), and
# to no more than the second number where few words are possible.
_MAX_WORDS = 4096
_MAX_LENGTH = 24
# Words rarer than this, given what precedes them, are not extended: rounding would be magnified beyond the tolerance.
_LEAST_PROBABILITY = 1e-7
_TOLERANCE = 1e-8


def check_interval(
    low: float, high: float, *, low_open: bool = False, high_open: bool = False, **parameters: float
) -> None:
    """Raises ValueError, which names the parameter and the interval, unless every parameter lies in the interval.

    Args:
        low: The lower end.
        high: The upper end.
        low_open: Whether the lower end itself is excluded.
        high_open: Whether the upper end itself is excluded.
        **parameters: Name and value of each parameter.
    """
    for name, value in parameters.items():
        above = value > low if low_open else value >= low
        below = value < high if high_open else value <= high
        # Not a number compares false, and so is rejected too.
        if not (above and below):
            interval = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"
            raise ValueError(f"`{name}` must lie in {interval}, got {value}")


def check_sum_at_most_one(parameters: Mapping[str, float]) -> None:
    """Raises ValueError unless the named probabilities can be those of exclusive events."""
    total = sum(parameters.values())
    if total > 1 + 1e-12:
        names = " + ".join(f"`{name}`" for name in parameters)
        raise ValueError(f"{names} must be at most 1, got {total:g}")


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


def check_entries(transition_matrices: Float[np.ndarray, "vocab from to"]) -> None:
    """Raises ValueError, which names the first negative entry, unless all are probabilities."""
    negative = np.argwhere(transition_matrices < 0)
    if len(negative):
        token, row, column = negative[0]
        raise ValueError(
            "`transition_matrices` of an HMM must be non-negative, "
            f"got {transition_matrices[token, row, column]:g} at token {token}, row {row}, column {column}"
        )


def check_rows(transition_matrices: Float[np.ndarray, "vocab from to"]) -> None:
    """Raises ValueError, which names the first such row and its sum, unless rows summed over tokens sum to one."""
    row_sums = transition_matrices.sum(axis=(0, 2))
    wrong = np.flatnonzero(np.abs(row_sums - 1) > ROW_SUM_TOLERANCE)
    if len(wrong):
        raise ValueError(
            "`transition_matrices`, summed over tokens, must have rows that sum to 1, "
            f"but row {wrong[0]} sums to {row_sums[wrong[0]]:.7g}"
        )


def check_distribution(initial_state: Float[np.ndarray, " num_states"]) -> None:
    """Raises ValueError unless the entries are probabilities that sum to one."""
    negative = np.flatnonzero(initial_state < 0)
    if len(negative):
        state = negative[0]
        raise ValueError(
            "`initial_state` must be a distribution over the hidden states, "
            f"but state {state} has the probability {initial_state[state]:g}"
        )
    total = initial_state.sum()
    if abs(total - 1) > ROW_SUM_TOLERANCE:
        raise ValueError(
            f"`initial_state` must be a distribution over the hidden states, but its entries sum to {total:.7g}, not 1"
        )


def check_words(
    transition_matrices: Float[np.ndarray, "vocab from to"],
    initial_state: Float[np.ndarray, " num_states"],
    normalizer: Float[np.ndarray, " num_states"],
) -> None:
    """Raises ValueError, which names the word, if a short word would have a negative probability.

    No finite procedure decides the question for all words; mistakes in a matrix show in the first few tokens.
    """
    emission = transition_matrices @ normalizer
    states = initial_state[None]
    words = np.zeros((1, 0), np.int64)
    while words.shape[1] < _MAX_LENGTH and 0 < len(states) * len(emission) <= _MAX_WORDS:
        probabilities = states @ emission.T
        if probabilities.min() < -_TOLERANCE:
            prefix, token = np.unravel_index(np.argmin(probabilities), probabilities.shape)
            raise ValueError(
                "`transition_matrices` are no process: they give the word "
                f"{[*words[prefix].tolist(), int(token)]} a negative probability "
                f"({probabilities[prefix, token]:.3g} for its last token)"
            )
        prefixes, tokens = np.nonzero(probabilities > _LEAST_PROBABILITY)
        successors = np.einsum("wi,wij->wj", states[prefixes], transition_matrices[tokens])
        states = successors / probabilities[prefixes, tokens][:, None]
        words = np.column_stack([words[prefixes], tokens])
