"""The belief states of an analysis as arrays, so that their picture can be drawn without the model."""

import io

import numpy as np
from jaxtyping import Float

from ._belief_regression import BeliefRegression

# More points than a picture can show.
_MOST_POINTS = 30_000
# Belief states that agree to so many digits are one point, at the centre of mass of their words' predictions.
_DIGITS = 6


def belief_states_npz(found: BeliefRegression, step: int) -> bytes:
    """The content of a run's belief_states.npz; equal for equal numbers.

    It has one point per belief state, if that makes few points; one per word otherwise, the most probable ones.
    `step` is the number of training steps, `weights` the points' probabilities, `truth` the belief states (of a GHMM
    predictive vectors), and `layer: NAME` what the regression from each layer makes of them.

    Args:
        found: From `regress_beliefs`.
        step: The training step of the model.
    """
    truth, weights = found.words.beliefs, found.words.probabilities
    regressed = {name: found[name].predictions for name in found.layers}
    distinct, number = np.unique(truth.round(_DIGITS), axis=0, return_inverse=True)
    if len(distinct) <= len(truth) / 4:
        number = number.ravel()
        regressed = {name: _centres(points, weights, number) for name, points in regressed.items()}
        truth, weights = _centres(truth, weights, number), np.bincount(number, weights)
    # Stable, so that the same words are the same points.
    kept = np.argsort(-weights, kind="stable")[:_MOST_POINTS]
    arrays = {"step": np.array(step), "weights": weights[kept], "truth": truth[kept]}
    arrays |= {f"layer: {name}": points[kept] for name, points in regressed.items()}
    file = io.BytesIO()
    np.savez(
        file, **{name: values if values.ndim == 0 else values.astype(np.float32) for name, values in arrays.items()}
    )
    return file.getvalue()


def _centres(
    points: Float[np.ndarray, "words dimensions"], weights: Float[np.ndarray, " words"], number: np.ndarray
) -> Float[np.ndarray, "n dimensions"]:
    mass = np.bincount(number, weights)
    return np.stack([np.bincount(number, weights * column) / mass for column in points.T], axis=1)
