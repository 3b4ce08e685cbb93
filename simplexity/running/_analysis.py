"""Looks into a run's model: belief regressions into its analysis.jsonl, belief states into its belief_states.npz."""

import json
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from simplexity.analysis import AnalysisInterruptedError, BeliefRegression, belief_states_npz, regress_beliefs
from simplexity.predictive_models import PredictiveModel
from simplexity.runs import RunDirectory, read_json_lines, write_durably

from ._build import Experiment


def analyze_model(
    directory: RunDirectory,
    experiment: Experiment,
    model: PredictiveModel,
    step: int,
    length: int,
    *,
    report: Callable[[str], object] = print,
    interrupted: Callable[[], bool] = lambda: False,
) -> bool:
    """Regresses belief states on the activations of a run's model.

    The line of the step in analysis.jsonl is replaced, if there is one. The belief states of the last step that was
    analysed are kept for the picture of them.

    Args:
        directory: The run's.
        experiment: What the run computes with.
        model: As it was after `step` steps.
        step: The number of training steps.
        length: Tokens of the longest words.
        report: Takes a line for people, before and after.
        interrupted: Called between regressions, of which each takes a second.

    Returns:
        Whether it was done; if it was interrupted, nothing was written.
    """
    report(f"looking for belief states in the activations after step {step:,}, on words of up to {length} tokens")
    try:
        found = regress_beliefs(
            _on_one_device(model),
            experiment.generator,
            length,
            untrained=experiment.initial_state().model,
            interrupted=interrupted,
        )
    except AnalysisInterruptedError:
        return False
    lines = {line["step"]: line for line in read_json_lines(directory.analysis_path)}
    lines[step] = record_of(found, length, step)
    text = "".join(json.dumps(lines[number]) + "\n" for number in sorted(lines))
    write_durably(directory.analysis_path, text)
    if step == max(lines):
        write_durably(directory.belief_states_path, belief_states_npz(found, step))
    report(describe(found))
    return True


def record_of(found: BeliefRegression, length: int, step: int) -> dict[str, object]:
    """A line of analysis.jsonl. JSON has no NaN: what has no value, such as R2 of constant beliefs, is null."""
    regressions = [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in record.items()}
        for record in found.records()
    ]
    return {
        "step": step,
        "length": length,
        "num_words": len(found.words.rows),
        "num_drawn": found.words.num_drawn,
        "regressions": regressions,
        "explained_variance": {name: shares.tolist() for name, shares in found.explained_variance.items()},
    }


def describe(found: BeliefRegression) -> str:
    """The best layer in a line, beside two of the controls that it is judged by."""
    best = max((row for row in found.rows if row.kind == "trained"), key=lambda row: row.regression.r2)
    shares = {(row.kind, row.features): row.regression.r2 for row in found.rows}
    untrained, next_token = shares["untrained", best.features], shares["control", "next-token probabilities"]
    return (
        f"belief states: R2 {best.regression.r2:.3f} from {best.features} "
        f"(untrained model {untrained:.3f}, next-token probabilities {next_token:.3f})"
    )


def _on_one_device(model: PredictiveModel) -> PredictiveModel:
    """A copy that computes the same wherever the training has left the arrays."""
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf)) if eqx.is_array(leaf) else leaf, model)
