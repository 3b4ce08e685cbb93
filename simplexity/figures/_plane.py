"""Where belief states of any dimension are drawn: their simplex, their first principal components, or a line."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_TRIANGLE = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
# A variance, and a share of it, that is rounding.
_NO_VARIANCE, _NO_SHARE = 1e-12, 1e-9
# The belief states of a run's folder are in float32.
_ROUNDING = 1e-5
# Corners further from the belief states than this many times their own extent are left out: they would be all one sees.
_FAR = 1.5


class Plane(NamedTuple):
    """A linear map of belief states to points that can be drawn."""

    origin: Float[np.ndarray, " dimensions"]
    directions: Float[np.ndarray, "dimensions axes"]
    """One column if the belief states lie on a line, else two."""
    corners: Float[np.ndarray, "corners axes"]
    """Certainty of each hidden state; none for predictive vectors, and where they are far away."""
    labels: tuple[str, ...]
    """Of the axes; none for the simplex of three states, whose corners tell as much."""
    is_disk: bool = False
    """Whether these are Bloch vectors, whose pure states are the unit circle."""

    def points(self, vectors: Float[np.ndarray, "n dimensions"]) -> Float[np.ndarray, "n axes"]:
        """The belief states as points; one that is a mixture lies at the centre of mass of the corners."""
        return (vectors - self.origin) @ self.directions


def plane_of(truth: Float[np.ndarray, "n dimensions"], weights: Float[np.ndarray, " n"]) -> Plane | None:
    """The plane in which belief states are best seen.

    Three hidden states have their simplex, and two a line. Predictive vectors `(1, r_1, r_2)` with `r` in the unit disk
    are a qubit's: their plane is that of the Bloch vector `r`. Of more, and of other predictive vectors, these are the
    first two principal components.

    Args:
        truth: The belief states.
        weights: Their probabilities.

    Returns:
        The plane; None if all belief states are equal.
    """
    num_states = truth.shape[1]
    weights = weights / weights.sum()
    mean = weights @ truth
    _, scales, directions = np.linalg.svd((truth - mean) * np.sqrt(weights)[:, None], full_matrices=False)
    total = float((scales**2).sum())
    if total < _NO_VARIANCE:
        return None
    shares = scales**2 / total
    is_simplex = bool((truth > -1e-6).all() and np.allclose(truth.sum(axis=1), 1.0, atol=1e-4))
    if is_simplex and num_states == 3:
        return Plane(np.zeros(3), _TRIANGLE, _TRIANGLE, ())
    if is_simplex and num_states == 2:
        return Plane(np.zeros(2), np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]]), ("probability of state 1",))
    num_axes = 1 if len(shares) < 2 or shares[1] < _NO_SHARE else 2
    if _are_bloch_vectors(truth):
        return Plane(
            np.zeros(3), np.eye(3)[:, 1:], np.empty((0, 2)), ("Bloch vector, $r_1$", "Bloch vector, $r_2$"), True
        )
    # A direction is one up to its sign: the same picture on every machine.
    kept = directions[:num_axes]
    greatest = kept[np.arange(num_axes), np.abs(kept).argmax(axis=1)]
    kept = kept * np.sign(greatest)[:, None]
    labels = tuple(f"belief component {index + 1} ({100 * shares[index]:.0f} %)" for index in range(num_axes))
    plane = Plane(mean, kept.T, np.empty((0, num_axes)), labels)
    return plane._replace(corners=_near(plane, truth)) if is_simplex else plane


def _are_bloch_vectors(truth: np.ndarray) -> bool:
    if truth.shape[1] != 3 or np.abs(truth[:, 0] - 1).max() > _ROUNDING:
        return False
    return bool((truth[:, 1:] ** 2).sum(axis=1).max() <= 1 + _ROUNDING)


def _near(plane: Plane, truth: np.ndarray) -> Float[np.ndarray, "corners axes"]:
    points, corners = plane.points(truth), plane.points(np.eye(truth.shape[1]))
    extent = np.ptp(points, axis=0).max()
    if np.ptp(np.concatenate([points, corners]), axis=0).max() > (1 + _FAR) * extent:
        return corners[:0]
    return corners
