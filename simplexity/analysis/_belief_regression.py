"""Whether a model's activations carry the process's belief states, and what else would explain that they seem to."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from simplexity.generative_processes import DataGenerator, GenerativeProcess
from simplexity.predictive_models import PredictiveModel

from ._activations import ALL_LAYERS, explained_variance, word_activations
from ._controls import control_features
from ._regression import Regression, fold_words, regress_each
from ._targets import factor_overlaps, further_targets
from ._words import Words, words_of

_PERCENTS = (90, 95, 99)
# The target that every process has: its whole belief state.
_WHOLE = "beliefs"
_NEVER_CHANGE = "belief states never change, so there is nothing to regress"

Kind = Literal["trained", "untrained", "shuffled", "control"]


class Row(NamedTuple):
    """One regression: from which features, and what kind of comparison it is."""

    features: str
    """A layer, all of them together, or the name of a control."""
    kind: Kind
    """Activations of the trained model; of an untrained one; of the trained one, but with the belief states of other
    words; or features without a model."""
    regression: Regression

    @property
    def name(self) -> str:
        """What a table calls it."""
        return self.features + {"untrained": ", untrained model", "shuffled": ", shuffled beliefs"}.get(self.kind, "")


class AnalysisInterruptedError(Exception):
    """A stop was requested during an analysis."""


class BeliefRegression(NamedTuple):
    """Regressions from activations, and from what they are to be compared with, to belief states."""

    words: Words
    rows: tuple[Row, ...]
    explained_variance: Mapping[str, Float[np.ndarray, " _"]]
    """Of each layer's activations: the shares of their variance along their principal components, greatest first."""
    targets: Mapping[str, tuple[Row, ...]]
    """The same rows for further targets, without predictions: of a factored process each factor's belief state
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

    What does not depend on the model (words, controls, the untrained model's activations) is computed once.

    Args:
        process: The process, or the process with its special tokens.
        length: The number of tokens of the longest words.
        untrained: A model of the same architecture that has not been trained, as one more control.
        max_words: If there are more words of that length, sequences are drawn that begin with at most so many words.
        seed: Of the folds, of the shuffled belief states, and of what is drawn.
        also_without_bos: Whether to regress a second time, for a model that reads the words without BOS.

    Raises:
        ValueError: If `also_without_bos` is true, and the sequences have no BOS.
    """

    def __init__(
        self,
        process: DataGenerator | GenerativeProcess,
        length: int = 10,
        *,
        untrained: PredictiveModel | None = None,
        max_words: int = 60_000,
        seed: int = 0,
        also_without_bos: bool = False,
    ):
        self._process, self._length, self._max_words, self._seed = process, length, max_words, seed
        self._untrained = untrained
        self._controls: list[dict[str, Row]] | None = None
        self._without_bos: BeliefRegressor | None = None
        if also_without_bos:
            if not isinstance(process, DataGenerator) or process.bos_token is None:
                raise ValueError("`also_without_bos` must be false: the sequences have no BOS")
            self._without_bos = BeliefRegressor(
                process.process, length, untrained=untrained, max_words=max_words, seed=seed
            )

    @cached_property
    def words(self) -> Words:
        """The words, each of which counts once, with its probability.

        Raises:
            ValueError: If `length` is below 1.
        """
        return words_of(self._process, self._length, max_words=self._max_words, seed=self._seed)

    @cached_property
    def _targets(self) -> dict[str, Float[np.ndarray, "words _"]]:
        process = self._process.process if isinstance(self._process, DataGenerator) else self._process
        return {_WHOLE: self.words.beliefs} | further_targets(process, self.words.beliefs)

    @cached_property
    def _folds(self) -> Int[np.ndarray, " words"]:
        return fold_words(self.words.rows, self._seed)

    def __call__(self, model: PredictiveModel, interrupted: Callable[[], bool] = lambda: False) -> BeliefRegression:
        """Regresses, layer by layer, beside the controls.

        Args:
            model: Trained on the process, with the same special tokens.
            interrupted: Called between regressions, and between batches of words.

        Raises:
            AnalysisInterruptedError: As soon as `interrupted()`.
            ValueError: If the process has only one word of that length, or if `length` is below 1.
        """
        words = self.words
        trained = self._activations(model, interrupted)
        rows = [self._rows(name, "trained", values, interrupted) for name, values in trained.items()]
        last = next(reversed(trained))
        rows.append(self._rows(last, "shuffled", trained[last], interrupted))
        variance = {name: explained_variance(values, words.probabilities) for name, values in trained.items()}
        if self._controls is None:
            self._controls = self._compute_controls(interrupted)
        rows += self._controls
        factors = [values for name, values in self._targets.items() if name.startswith("factor_")]
        return BeliefRegression(
            words,
            rows=tuple(own[_WHOLE] for own in rows),
            explained_variance=variance,
            targets={name: tuple(own[name] for own in rows) for name in self._targets if name != _WHOLE},
            factor_overlaps={
                name: factor_overlaps(values, factors, words.probabilities) for name, values in trained.items()
            }
            if factors
            else {},
            without_bos=None if self._without_bos is None else self._without_bos(model, interrupted),
        )

    def _compute_controls(self, interrupted: Callable[[], bool]) -> list[dict[str, Row]]:
        rows = []
        if self._untrained is not None:
            fresh = self._activations(self._untrained, interrupted)
            rows += [self._rows(name, "untrained", values, interrupted) for name, values in fresh.items()]
        features = control_features(self.words)
        return rows + [self._rows(name, "control", values, interrupted) for name, values in features]

    def _activations(self, model: PredictiveModel, interrupted: Callable[[], bool]) -> dict[str, np.ndarray]:
        def stop_if_interrupted() -> None:
            if interrupted():
                raise AnalysisInterruptedError

        activations = word_activations(model, self.words, before_batch=stop_if_interrupted)
        if len(activations) == 1:
            return dict(activations)
        return {**activations, ALL_LAYERS: np.concatenate(list(activations.values()), axis=1)}

    def _rows(self, features: str, kind: Kind, values: np.ndarray, interrupted: Callable[[], bool]) -> dict[str, Row]:
        """The regressions of all targets on the same features."""
        if interrupted():
            raise AnalysisInterruptedError
        targets = self._targets
        if kind == "shuffled":
            order = np.random.default_rng(self._seed).permutation(len(self.words.rows))
            targets = {name: target[order] for name, target in targets.items()}
        found = regress_each(values, list(targets.values()), self.words.probabilities, self._folds)
        # The predictions of further targets would take gigabytes.
        return {
            name: Row(features, kind, own if name == _WHOLE else own._replace(predictions=own.predictions[:0].copy()))
            for name, own in zip(targets, found, strict=True)
        }


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
    regressor = BeliefRegressor(
        process, length, untrained=untrained, max_words=max_words, seed=seed, also_without_bos=also_without_bos
    )
    return regressor(model)
