"""A user's own process, given directly as matrices: lists in a YAML file, or an .npz file."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ._checks import ROW_SUM_TOLERANCE, check_rows, check_shape
from ._ghmm import GHMM, dominant_eigenvalue
from ._hmm import HMM

_ARRAY_NAMES = ("transition_matrices", "initial_state")


def from_matrices(transition_matrices: Sequence[Any], initial_state: Sequence[float] | None = None) -> HMM | GHMM:
    """The process of the given matrices.

    It is an HMM if all entries are non-negative and the rows, summed over tokens, sum to one; otherwise a GHMM, if the
    sum over tokens has the dominant eigenvalue 1.

    Args:
        transition_matrices: Nested lists [vocab][from][to]: for each token a matrix, whose rows are lists.
        initial_state: The distribution of the first state (a row vector for a GHMM); None for the stationary one.

    Returns:
        The HMM or GHMM.

    Raises:
        ValueError: If they are no process; the message names the row, entry or word that is wrong.
    """
    matrices = _array(
        "transition_matrices", transition_matrices, "a list of square matrices of one size, one per token"
    )
    state = None if initial_state is None else _array("initial_state", initial_state, "a list of numbers")
    return _process(matrices, state)


def from_npz(path: str | Path) -> HMM | GHMM:
    """The process of a file: the array `transition_matrices` (axes vocab, from, to) and, if any, `initial_state`.

    Args:
        path: An .npz file, as `numpy.savez` writes it; relative to the current folder. A run keeps a copy.

    Returns:
        The HMM or GHMM, as `from_matrices` decides.

    Raises:
        ValueError: If the file cannot be read, holds other arrays, or they are no process (see `from_matrices`).
    """
    arrays = _load(Path(path))
    if "transition_matrices" not in arrays or not set(arrays) <= set(_ARRAY_NAMES):
        raise ValueError(
            "`path` must name an .npz file with the array transition_matrices and, optionally, initial_state, "
            f"got {str(path)!r} with {sorted(arrays)}"
        )
    converted = {name: _array(name, array, f"an array of numbers in {str(path)!r}") for name, array in arrays.items()}
    return _process(converted["transition_matrices"], converted.get("initial_state"))


def _process(matrices: Float[np.ndarray, "..."], initial_state: Float[np.ndarray, "..."] | None) -> HMM | GHMM:
    check_shape(matrices)
    non_negative = bool((matrices >= 0).all())
    rows_sum_to_one = np.abs(matrices.sum(axis=(0, 2)) - 1).max() <= ROW_SUM_TOLERANCE
    if non_negative and rows_sum_to_one:
        return HMM(matrices, initial_state)
    if non_negative and abs(dominant_eigenvalue(matrices.sum(axis=0)) - 1) > ROW_SUM_TOLERANCE:
        # Probabilities that do not add up: a typing error in an HMM, and the row says more than the eigenvalue.
        check_rows(matrices)
    return GHMM(matrices, initial_state)


def _array(name: str, values: Any, expected: str) -> Float[np.ndarray, "..."]:
    try:
        return np.array(_plain(values), dtype=np.float64)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"`{name}` must be {expected} ({reason})") from None


def _plain(values: Any) -> Any:
    """Nested sequences of any class (such as a configuration's) as nested lists."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [_plain(value) for value in values]
    return values


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        archive = np.load(path)
        if isinstance(archive, np.ndarray):
            raise ValueError("it holds a single array, as numpy.save writes it; use numpy.savez")
        with archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"`path` must name a readable .npz file, got {str(path)!r} ({reason})") from None
