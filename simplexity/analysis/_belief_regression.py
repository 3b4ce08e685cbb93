"""Whether a model's activations carry the process's belief states, and what else would explain that they seem to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from simplexity.generative_processes import DataGenerator, GenerativeProcess
from simplexity.predictive_models import PredictiveModel

from ._activations import ALL_LAYERS, explained_variance, word_activations
from ._regression import Regression
from ._regression_problem import WHOLE, AnalysisInterruptedError, RegressionProblem, Row
from ._targets import factor_overlaps
from ._words import Words

_PERCENTS = (90, 95, 99)
_NEVER_CHANGE = "belief states never change, so there is nothing to regress"


class BeliefRegression(NamedTuple):
    """Regressions from activations, and from what they are to be compared with, to belief states.

    Only those from the trained model's activations keep their predictions.
    """

    words: Words
    rows: tuple[Row, ...]
    explained_variance: Mapping[str, Float[np.ndarray, " _"]]
    """Of each layer's activations: the shares of their variance along their principal components, greatest first."""
    targets: Mapping[str, tuple[Row, ...]]
    """The same rows for further targets, all without predictions: of a factored process each factor's belief state
    (`factor_0`, ...) and the `joint` one; of a mixture, the posterior of its `components`."""
    factor_overlaps: Mapping[str, Float[np.ndarray, "factors factors"]]
    """Of a factored process, for each layer: the overlaps of the factors' subspaces, from 0 (orthogonal) to 1."""
    without_bos: "BeliefRegression | None" = None
    """The same for a model that reads the words without BOS, which it never did in training; if that was asked for."""

    def __getitem__(self, layer: str) -> Regression:
        """The regression from a layer of the trained model, or from "all layers"."""
        for row in self.rows:
            if row.kind == "trained" and row.features == layer:
                return row.regression
        raise KeyError(layer)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers in the order of computation, and "all layers" where there are several."""
        return tuple(row.features for row in self.rows if row.kind == "trained")

    def records(self, target: str | None = None) -> list[dict[str, Any]]:
        """The table as plain values, a dict per row; of a further target, if one is named."""
        return [
            {
                "features": row.features,
                "kind": row.kind,
                "r2": row.regression.r2,
                "r2_standard_error": row.regression.r2_standard_error,
                "rmse": row.regression.rmse,
                "r2_distances": row.regression.r2_distances,
                "num_directions": row.regression.num_directions,
            }
            for row in (self.rows if target is None else self.targets[target])
        ]

    def dimensions(self) -> dict[str, dict[str, int]]:
        """Of each layer, how many principal components of the activations have 90, 95 and 99 % of their variance."""
        return {
            name: {f"{percent}": 1 + int((np.cumsum(shares) < percent / 100).sum()) for percent in _PERCENTS}
            for name, shares in self.explained_variance.items()
        }

    def __str__(self) -> str:
        words = self.words
        source = "all words" if words.num_drawn is None else f"words of {words.num_drawn:,} drawn sequences"
        lines = [f"{source} up to length {words.lengths.max()}, weighted by probability, cross-validated over words"]
        if _best(self.rows) is None:
            lines.append(_NEVER_CHANGE)
        else:
            lines.append(f"{'features':<31} {'R2':>8} {'+-':>7} {'RMSE':>8} {'R2 of distances':>16} {'directions':>11}")
            for row in self.rows:
                found = row.regression
                lines.append(
                    f"{row.name:<31} {found.r2:8.4f} {found.r2_standard_error:7.4f} {found.rmse:8.4f} "
                    f"{found.r2_distances:16.4f} {found.num_directions:11d}"
                )
        for target, rows in self.targets.items():
            best = _best(rows)
            result = _NEVER_CHANGE if best is None else f"R2 {best.regression.r2:.4f} from {best.features}"
            lines.append(f"{target}: {result}")
        for name, counts in self.dimensions().items():
            needed = ", ".join(f"{count} of them {percent} %" for percent, count in counts.items())
            lines.append(f"{name}: {len(self.explained_variance[name])} principal components; {needed} of the variance")
        if self.without_bos is not None:
            lines += ["", f"without BOS: {self.without_bos}"]
        return "\n".join(lines)


def _best(rows: Sequence[Row]) -> Row | None:
    """The trained model's row with the greatest R²; None if belief states never change, which have no R²."""
    defined = [row for row in rows if row.kind == "trained" and not np.isnan(row.regression.r2)]
    return max(defined, key=lambda row: row.regression.r2, default=None)


class BeliefRegressor:
    """Regresses the belief states of one process on the activations of one model after another.

    Args:
        problem: The words, their belief states, and the controls that need no model.
        untrained: A model of the same architecture that has not been trained, as one more control.
        without_bos: The problem of the same process without special tokens, to regress a second time, for a model that
            reads the words without BOS; None for once.
    """

    def __init__(
        self,
        problem: RegressionProblem,
        *,
        untrained: PredictiveModel | None = None,
        without_bos: RegressionProblem | None = None,
    ):
        self._problem, self._untrained = problem, untrained
        self._rows_of_untrained: list[dict[str, Row]] | None = None
        self._without_bos = None if without_bos is None else BeliefRegressor(without_bos, untrained=untrained)

    def __call__(self, model: PredictiveModel, interrupted: Callable[[], bool] = lambda: False) -> BeliefRegression:
        """Regresses, layer by layer, beside the controls.

        Args:
            model: Trained on the process, with the same special tokens.
            interrupted: Called between regressions, and between batches of words.

        Raises:
            AnalysisInterruptedError: As soon as `interrupted()`.
            ValueError: If the process has only one word of that length, or if `length` is below 1.
        """
        problem, words = self._problem, self._problem.words
        trained = self._activations(model, interrupted)
        rows = [problem.rows(name, "trained", values, interrupted) for name, values in trained.items()]
        last = next(reversed(trained))
        rows.append(problem.rows(last, "shuffled", trained[last], interrupted))
        variance = {name: explained_variance(values, words.probabilities) for name, values in trained.items()}
        if self._rows_of_untrained is None:
            fresh = {} if self._untrained is None else self._activations(self._untrained, interrupted)
            self._rows_of_untrained = [
                problem.rows(name, "untrained", values, interrupted) for name, values in fresh.items()
            ]
        rows += self._rows_of_untrained + problem.control_rows(interrupted)
        return BeliefRegression(
            words,
            rows=tuple(own[WHOLE] for own in rows),
            explained_variance=variance,
            targets={name: tuple(own[name] for own in rows) for name in problem.targets if name != WHOLE},
            factor_overlaps={
                name: factor_overlaps(values, problem.factors, words.probabilities) for name, values in trained.items()
            }
            if problem.factors
            else {},
            without_bos=None if self._without_bos is None else self._without_bos(model, interrupted),
        )

    def _activations(self, model: PredictiveModel, interrupted: Callable[[], bool]) -> dict[str, np.ndarray]:
        def stop_if_interrupted() -> None:
            if interrupted():
                raise AnalysisInterruptedError

        activations = word_activations(model, self._problem.words, before_batch=stop_if_interrupted)
        if len(activations) == 1:
            return dict(activations)
        return {**activations, ALL_LAYERS: np.concatenate(list(activations.values()), axis=1)}


def regress_beliefs(
    model: PredictiveModel,
    process: DataGenerator | GenerativeProcess,
    length: int = 10,
    *,
    untrained: PredictiveModel | None = None,
    max_words: int = 60_000,
    seed: int = 0,
    also_without_bos: bool = False,
) -> BeliefRegression:
    """Regresses the belief states of a process's words on a model's activations, layer by layer, with controls.

    Each word up to `length` counts once, with its probability. The fit is least squares with an intercept; what is
    reported is its error on words that it has not seen, and so is what the controls are judged by.

    Args:
        model: Trained on `process`, with the same special tokens.
        process: The process, or the process with its special tokens.
        length: The number of tokens of the longest words.
        untrained: A model of the same architecture that has not been trained, as one more control.
        max_words: If there are more words of that length, sequences are drawn that begin with at most so many words.
        seed: Of the folds, of the shuffled belief states, and of what is drawn.
        also_without_bos: Whether to regress a second time, for a model that reads the words without BOS: the result has
            that as `without_bos`.

    Raises:
        ValueError: If the process has only one word of that length, if `length` is below 1, or if `also_without_bos` is
            true and the sequences have no BOS.

    Example:
        >>> import jax
        >>> import simplexity as sx
        >>> model = sx.models.GRU(8, 1, vocab_size=2, key=jax.random.key(0))
        >>> result = sx.regress_beliefs(model, sx.processes.even_ones(0.5), length=4)
        >>> [row.name for row in result.rows][:3]
        ['layer_0', 'layer_0, shuffled beliefs', 'next-token probabilities']
        >>> result["layer_0"].predictions.shape == result.words.beliefs.shape
        True

    References:
        Shai, Marzen, Teixeira, Gietelink Oldenziel and Riechers, "Transformers represent belief state geometry in their
        residual stream" (2024).
    """
    problem = RegressionProblem(process, length, max_words=max_words, seed=seed)
    without_bos = problem.without_bos() if also_without_bos else None
    return BeliefRegressor(problem, untrained=untrained, without_bos=without_bos)(model)
