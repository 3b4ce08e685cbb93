"""Least squares from features to belief states, judged on words that the fit has not seen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

NUM_FOLDS = 5
# Directions in which the features vary less than this, relative to the one in which they vary most, are rounding.
_ROUNDING = 1e-7
_CUTOFFS = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6, _ROUNDING)
_NO_VARIANCE = 1e-20
# Distances are compared between so many words, drawn by their probability.
_NUM_COMPARED = 500


class Regression(NamedTuple):
    """How well targets are a linear function of features, on words that the fit has not seen.

    Every number is weighted by the words' probabilities.
    """

    r2: float
    """The share of the targets' variance that is explained, all coordinates together; not a number if they are
    constant. Below zero where the fit is worse than the mean."""
    r2_standard_error: float
    """Of the mean over the folds."""
    rmse: float
    """The root of the mean squared error of a coordinate."""
    r2_distances: float
    """The squared correlation of the distances between two words' targets with those between their predictions."""
    num_directions: int
    """The number of singular directions of the features that the fit uses."""
    predictions: Float[np.ndarray, "words targets"]
    """Each word's, from the fit that has not seen it; no rows where they are not kept."""


def regress_each(
    features: Real[np.ndarray, "words features"],
    targets: Sequence[Float[np.ndarray, "words _"]],
    weights: Float[np.ndarray, " words"],
    folds: Int[np.ndarray, " words"],
) -> list[Regression]:
    """Fits weighted least squares with an intercept, cross-validated, of several targets on the same features.

    Singular directions of the centred features below a cut-off, relative to the greatest, are left out. The cut-off is
    the one whose fits of a target predict the other folds best, the same for all folds.

    Args:
        features: A row per word.
        targets: A row per word, of each target.
        weights: Of the words, positive.
        folds: Which fold each word is in, numbered from zero; every one is predicted by a fit to the others.
    """
    # Folds one after the other, so that each is a slice.
    order = np.argsort(folds, kind="stable")
    members = [slice(*np.searchsorted(folds[order], [fold, fold + 1])) for fold in np.unique(folds)]
    ends = np.cumsum([target.shape[1] for target in targets])
    columns = [slice(end - target.shape[1], end) for end, target in zip(ends, targets, strict=True)]
    every_target = np.concatenate(targets, axis=1)[order].astype(np.float64)
    predictions, num_directions = _cross_validate(features[order], every_target, weights[order], members, columns)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    words = [order[inside] for inside in members]
    return [
        _judge(target, predictions[place, own], weights, words, number)
        for target, own, number in zip(targets, columns, num_directions, strict=True)
    ]


def _cross_validate(
    features: Real[np.ndarray, "words features"],
    targets: Float[np.ndarray, "words coordinates"],
    weights: Float[np.ndarray, " words"],
    members: Sequence[slice],
    columns: Sequence[slice],
) -> tuple[Float[np.ndarray, "words coordinates"], list[int]]:
    """Predicts the targets of each fold's words from a fit to the others.

    Args:
        features: A row per word, fold by fold.
        targets: The coordinates of all targets, side by side.
        weights: Of the words.
        members: The rows of each fold.
        columns: The coordinates of each target.

    Returns:
        The predictions, and for each target the number of singular directions that its fits use at most.
    """
    # The fits have intercepts of their own. That both are near zero keeps what the sums below cancel small.
    origin = features.mean(axis=0, dtype=np.float64)
    if len(features) < features.shape[1]:
        # So few words span fewer directions than there are features: a rotation into these changes no fit.
        _, triangle = np.linalg.qr((features - origin).T)
        features, origin = triangle.T, np.zeros(len(features))
    # Features become float64 one fold at a time: of many words with many features, a copy of all would take gigabytes.
    parts = [_Moments.of(features[inside] - origin, targets[inside], weights[inside]) for inside in members]
    whole = _Moments(*(sum(sums[1:], sums[0]) for sums in zip(*parts, strict=True)))  # pyright: ignore
    fits = [_Fit(whole.without(part)) for part in parts]
    errors = np.sum(
        [
            fit.squared_errors(_CUTOFFS, features[inside] - origin, targets[inside], weights[inside])
            for fit, inside in zip(fits, members, strict=True)
        ],
        axis=0,
    )
    cutoffs = [_CUTOFFS[int(errors[:, own].sum(axis=1).argmin())] for own in columns]
    predictions = np.empty_like(targets)
    for fit, inside in zip(fits, members, strict=True):
        centred = features[inside] - origin
        for cutoff, own in zip(cutoffs, columns, strict=True):
            predictions[inside, own] = fit.predictions(cutoff, centred, own)
    return predictions, [max(fit.num_directions(cutoff) for fit in fits) for cutoff in cutoffs]


def _judge(
    targets: Float[np.ndarray, "words targets"],
    predictions: Float[np.ndarray, "words targets"],
    weights: Float[np.ndarray, " words"],
    members: Sequence[Int[np.ndarray, " _"]],
    num_directions: int,
) -> Regression:
    total_weight = weights.sum()
    mean_target = weights @ targets / total_weight
    variance = float(weights @ ((targets - mean_target) ** 2).sum(axis=1)) / total_weight
    residuals = weights * ((targets - predictions) ** 2).sum(axis=1)
    mean_squared_error = float(residuals.sum()) / total_weight
    if variance < _NO_VARIANCE:
        r2, standard_error = np.nan, np.nan
    else:
        r2 = 1 - mean_squared_error / variance
        by_fold = [residuals[inside].sum() / weights[inside].sum() / variance for inside in members]
        standard_error = float(np.std(by_fold, ddof=1) / len(by_fold) ** 0.5)
    return Regression(
        r2=float(r2),
        r2_standard_error=float(standard_error),
        rmse=float((mean_squared_error / targets.shape[1]) ** 0.5),
        r2_distances=_distance_correlation(targets, predictions, weights),
        num_directions=num_directions,
        predictions=predictions,
    )


def fold_words(rows: Int[np.ndarray, " words"], seed: int = 0) -> Int[np.ndarray, " words"]:
    """Folds for cross-validation: words that are read from one sequence are in one fold.

    Args:
        rows: The sequence that each word is read from.
        seed: Of the assignment.

    Raises:
        ValueError: If there are fewer than two sequences.
    """
    num_sequences = int(rows.max()) + 1
    if num_sequences < 2:
        raise ValueError("`length` must be greater: the process has only one word of that length, and a fit needs two")
    order = np.random.default_rng(seed).permutation(num_sequences)
    folds = order % min(NUM_FOLDS, num_sequences)
    # Folds of which no word is left (each was read from an earlier sequence) do not count.
    return np.unique(folds[rows], return_inverse=True)[1]


class _Moments(NamedTuple):
    """Weighted sums, from which least squares follow: of weights, features, targets, and products of two."""

    weight: float
    features: Float[np.ndarray, " features"]
    targets: Float[np.ndarray, " targets"]
    features_features: Float[np.ndarray, "features features"]
    features_targets: Float[np.ndarray, "features targets"]

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> "_Moments":
        weighted = x * weights[:, None]
        return cls(weights.sum(), weights @ x, weights @ y, weighted.T @ x, weighted.T @ y)

    def without(self, part: "_Moments") -> "_Moments":
        return _Moments(*(mine - its for mine, its in zip(self, part, strict=True)))  # pyright: ignore


class _Fit:
    """The fits, one for each number of singular directions, from the moments of all words but those held out."""

    def __init__(self, moments: _Moments):
        self._mean_x, self._mean_y = moments.features / moments.weight, moments.targets / moments.weight
        covariance = moments.features_features - np.outer(moments.features, self._mean_x)
        variances, directions = np.linalg.eigh(covariance)
        variances, self._directions = np.maximum(variances[::-1], 0.0), directions[:, ::-1]
        self._scales = np.sqrt(variances)
        correlations = self._directions.T @ (moments.features_targets - np.outer(moments.features, self._mean_y))
        self._coefficients = correlations / np.where(variances > 0, variances, 1.0)[:, None]

    def num_directions(self, cutoff: float) -> int:
        return int((self._scales > cutoff * self._scales[0]).sum()) if len(self._scales) else 0

    def predictions(
        self, cutoff: float, features: Float[np.ndarray, "held_out features"], columns: slice
    ) -> Float[np.ndarray, "held_out targets"]:
        kept = self.num_directions(cutoff)
        solution = self._directions[:, :kept] @ self._coefficients[:kept, columns]
        return (features - self._mean_x) @ solution + self._mean_y[columns]

    def squared_errors(
        self,
        cutoffs: Sequence[float],
        features: Float[np.ndarray, "held_out features"],
        targets: Float[np.ndarray, "held_out targets"],
        weights: Float[np.ndarray, " held_out"],
    ) -> Float[np.ndarray, "cutoffs targets"]:
        """Of each coordinate, on the words held out, for each of falling cut-offs."""
        scores = (features - self._mean_x) @ self._directions
        residuals, error, kept, errors = targets - self._mean_y, np.zeros(0), 0, []
        for cutoff in cutoffs:
            more = slice(kept, kept := self.num_directions(cutoff))
            if more.start < more.stop or not errors:
                residuals -= scores[:, more] @ self._coefficients[more]
                error = weights @ residuals**2
            errors.append(error)
        return np.array(errors)


def _distance_correlation(
    targets: Float[np.ndarray, "words targets"],
    predictions: Float[np.ndarray, "words targets"],
    weights: Float[np.ndarray, " words"],
) -> float:
    """The squared correlation of distances, over pairs of words that are drawn by their probability."""
    drawn = np.random.default_rng(0).choice(len(targets), size=_NUM_COMPARED, p=weights / weights.sum())
    # Here, because it takes a tenth of a second, and a run's first step does not wait for an analysis.
    from scipy.spatial.distance import pdist

    true, predicted = (pdist(vectors[drawn]) for vectors in (targets, predictions))
    if min(true.std(), predicted.std()) < _NO_VARIANCE**0.5:
        return float("nan")
    return float(np.corrcoef(true, predicted)[0, 1] ** 2)
