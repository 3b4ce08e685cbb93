"""Analyses a run's model at exact steps: belief regressions, and the user's own functions, into its analysis.jsonl.

The belief states of the last step are in belief_states.npz, for the picture of them.

A line of analysis.jsonl holds, of one step:

- `step`; `length`, the tokens of the longest words; `num_words`; `num_drawn`, null if those are all words.
- `regressions`: for each layer and each control `features`, `kind` (trained, shuffled, untrained, control), `r2`,
  `r2_standard_error`, `rmse`, `r2_distances`, `num_directions`. What has no value, as R² of constant beliefs, is null.
- `best`: the trained model's layer with the greatest R² (`features`, `r2`), beside `r2_shuffled`, `r2_untrained` and
  `r2_next_token`; null if no layer has an R².
- `explained_variance`: of each layer's activations, the shares of the principal components, greatest first; and
  `dimensions`, how many of them add up to 90, 95 and 99 %.
- `targets`: `best` and `regressions` of each factor's belief state (`factor_0`, ...) and of the `joint` one, and of the
  posterior of a mixture's `components`; `factor_overlaps`: for each layer, the overlaps of the factors' subspaces.
- `without_bos`: `best` and `regressions` of the model as it reads the words without BOS, with
  `analysis.also_without_bos`.
- `kl_by_position`: the mean KL divergence of the model's predictions from the process's after the first, the second,
  ... token that the model reads, nats.
- `attention`: for each layer of a transformer and each head, the mean attention to the token at distance 0, 1, ...
- `functions`: what each of the user's functions has returned, by its name in `analysis.functions`; and `errors`: why
  one has not.
"""

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from simplexity.analysis import (
    AnalysisInterruptedError,
    AnalysisSettings,
    BeliefRegression,
    BeliefRegressor,
    Row,
    Words,
    attention_by_distance,
    belief_states_npz,
    kl_by_position,
)
from simplexity.predictive_models import PredictiveModel
from simplexity.runs import RunDirectory, read_json_lines, retry_read, write_durably

from ._build import Experiment
from ._failures import log_failure, place
from ._kept_problem import problems_of

_log = logging.getLogger("simplexity")
# Behind "beliefs: " on a line of 80 columns.
_WIDTH = 71
_REPORT_EVERY_S = 10.0


class Analysis:
    """Analyses models of one run; a `StepObserver` of its training.

    Nothing is kept between two steps that the numbers depend on, so a resumed run writes the same lines.

    Args:
        directory: The run's.
        experiment: What the run computes with.
        settings: Which steps, and which words.
        saves: Whether the run has checkpoints. The last analysis of one that has none is not interrupted: all the
            training would be lost.
        require_held: As in `write_durably`.

    Attributes:
        summary: The last result in one line; None before there is one.
        summary_without_bos: The same of the model as it reads the words without BOS; None if that was not asked for.
    """

    def __init__(
        self,
        directory: RunDirectory,
        experiment: Experiment,
        settings: AnalysisSettings,
        *,
        saves: bool = True,
        require_held: Callable[[], object] = lambda: None,
    ):
        self.summary: str | None = None
        self.summary_without_bos: str | None = None
        self._directory, self._experiment, self._settings = directory, experiment, settings
        self._saves, self._require_held = saves, require_held
        self._regressor: BeliefRegressor | None = None

    def next_due_step(self, step: int) -> int | None:
        """The first step after `step` that is to be analysed."""
        return self._settings.next_due_step(step, self._experiment.settings.num_train_steps)

    def observe(self, step: int, model: PredictiveModel, interrupted: Callable[[], bool]) -> bool:
        """Analyses during training; one that fails is reported in one line, and the run is complete without it."""
        if step == self._experiment.settings.num_train_steps:
            _log.info("analysing the belief states of words of up to %d tokens", self._settings.length)
            if not self._saves:
                interrupted = _never
        try:
            line, found = self._line(step, model, interrupted)
        except AnalysisInterruptedError:
            return False
        except Exception as error:  # whatever the user's own model or process causes
            log_failure(error)
            self.summary = f"not analysed: {place(error)}"
        else:
            self._write(line, found)
        return True

    def flush(self) -> None:
        """Does nothing: each line is on disk at once."""

    def analyze(self, step: int, model: PredictiveModel, interrupted: Callable[[], bool]) -> bool:
        """Analyses a saved model, for a command.

        Args:
            step: The number of steps that it was trained for; its line in analysis.jsonl is replaced, if there is one.
            model: The model.
            interrupted: Called between regressions, and between batches of words.

        Returns:
            Whether it was done; False if it was interrupted: then nothing was written.

        Raises:
            ValueError: If the process has only one word of that length.
        """
        try:
            line, found = self._line(step, model, interrupted)
        except AnalysisInterruptedError:
            return False
        self._write(line, found)
        return True

    def _line(
        self, step: int, model: PredictiveModel, interrupted: Callable[[], bool]
    ) -> tuple[dict[str, Any], BeliefRegression]:
        model, interrupted = _on_one_device(model), _reporting(interrupted)
        if self._regressor is None:
            problem, without_bos = problems_of(self._experiment.generator, self._settings)
            untrained = self._experiment.initial_state().model
            self._regressor = BeliefRegressor(problem, untrained=untrained, without_bos=without_bos)
        found = self._regressor(model, interrupted)
        line: dict[str, Any] = {"step": step, "length": self._settings.length} | record_of(found)
        line["kl_by_position"] = _without_nan(kl_by_position(model, found.words).tolist())
        line["attention"] = _attention(model, found.words)

        def stop_if_interrupted() -> None:
            if interrupted():
                raise AnalysisInterruptedError

        process = self._experiment.generator.process
        call = self._experiment.analysis_functions
        # Copied, because a function may write into its arguments, and the words are those of later runs too.
        words = found.words.copy() if call else found.words
        functions, errors = call(stop_if_interrupted, model=model, process=process, words=words)
        self.summary = describe(line)
        self.summary_without_bos = describe(line["without_bos"]) if "without_bos" in line else None
        return line | {"functions": _without_nan(functions), "errors": errors}, found

    def _write(self, line: dict[str, Any], found: BeliefRegression) -> None:
        before = retry_read(lambda: read_json_lines(self._directory.analysis_path))
        lines = {line["step"]: line for line in before} | {line["step"]: line}
        text = "".join(json.dumps(lines[step]) + "\n" for step in sorted(lines))
        write_durably(self._directory.analysis_path, text, self._require_held)
        if line["step"] == max(lines):
            # For the picture of them, which needs neither model nor JAX.
            content = belief_states_npz(found, line["step"])
            write_durably(self._directory.belief_states_path, content, self._require_held)


def record_of(found: BeliefRegression) -> dict[str, Any]:
    """What a line of analysis.jsonl says of a belief regression."""
    record = {
        "num_words": len(found.words.rows),
        "num_drawn": found.words.num_drawn,
        "best": _best(found.rows),
        "regressions": found.records(),
        "explained_variance": {name: shares.tolist() for name, shares in found.explained_variance.items()},
        "dimensions": found.dimensions(),
        "targets": {
            name: {"best": _best(rows), "regressions": found.records(name)} for name, rows in found.targets.items()
        },
        "factor_overlaps": {name: overlaps.tolist() for name, overlaps in found.factor_overlaps.items()},
    }
    if found.without_bos is not None:
        record["without_bos"] = {"best": _best(found.without_bos.rows), "regressions": found.without_bos.records()}
    return _without_nan(record)


def _attention(model: PredictiveModel, words: Words) -> dict[str, list[list[float]]]:
    longest = words.lengths == words.lengths.max()
    weights = np.zeros(len(words.sequences))
    weights[words.rows[longest]] = words.probabilities[longest]
    found = attention_by_distance(model, words.sequences, weights)
    return {name: heads.tolist() for name, heads in found.items()}


def describe(line: dict[str, Any]) -> str:
    """The best layer in at most 71 columns, beside two of the controls that it is judged by."""
    best = line["best"]
    if best is None:
        return "belief states never change, so there is nothing to regress"
    controls = f"controls: untrained {_r2(best['r2_untrained'])}, next token {_r2(best['r2_next_token'])}"
    start = f"R2 {_r2(best['r2'])} from "
    return f"{start}{best['features'][: _WIDTH - len(start) - len(controls) - 2]}; {controls}"


def _reporting(interrupted: Callable[[], bool]) -> Callable[[], bool]:
    """The same answers; every ten seconds a line says that the analysis is still running.

    It is asked before each regression, of which a model of many layers has so many that the analysis takes minutes.
    """
    began = last = time.monotonic()

    def ask() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_EVERY_S:
            _log.info("still analysing, after %.0f s", now - began)
            last = now
        return interrupted()

    return ask


def _never() -> bool:
    return False


def _best(rows: Sequence[Row]) -> dict[str, Any] | None:
    trained = [row for row in rows if row.kind == "trained" and not math.isnan(row.regression.r2)]
    if not trained:
        return None
    best = max(trained, key=lambda row: row.regression.r2)
    shares = {(row.kind, row.features): row.regression.r2 for row in rows}
    return {
        "features": best.features,
        "r2": best.regression.r2,
        "r2_shuffled": next(row.regression.r2 for row in rows if row.kind == "shuffled"),
        "r2_untrained": shares["untrained", best.features],
        "r2_next_token": shares["control", "next-token probabilities"],
    }


def _r2(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity: they become null."""
    if isinstance(value, dict):
        return {name: _without_nan(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _on_one_device(model: PredictiveModel) -> PredictiveModel:
    """A copy that computes the same wherever the training has left the arrays."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)) if eqx.is_array(leaf) else leaf, model)
