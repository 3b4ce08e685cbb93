"""What a resumed run should have up to its checkpoint and does not: snapshots, and lines of analysis.jsonl.

A run has both for all their due steps when it saves a checkpoint, so what is missing was lost: a file was removed, or
cut by hand. What a saved model still gives is written again, with the same numbers. No run needs these outputs to
continue, so what cannot be written again is said, and the run continues without it.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from simplexity.composition import one_line
from simplexity.persistence import read_model, saved_steps, snapshot_steps
from simplexity.predictive_models import PredictiveModel
from simplexity.runs import LostLockError, RetryBudget, RunDirectory, read_json_lines, retry_read
from simplexity.training import StepObserver

_log = logging.getLogger("simplexity")
_MOST_NAMED = 5


class _Output(NamedTuple):
    """Something that an observer writes at its due steps; `steps` lists those that are there."""

    name: str
    observer: StepObserver
    steps: Callable[[], Sequence[int]]


def write_lost_outputs(
    directory: RunDirectory,
    step: int,
    like_model: PredictiveModel,
    snapshots: StepObserver | None,
    analysis: StepObserver | None,
    interrupted: Callable[[], bool],
) -> list[str]:
    """Writes again what earlier attempts had written and a saved model gives.

    Args:
        directory: The run's.
        step: That of the restored state. Training itself observes the model at this step once more.
        like_model: A model of the same structure; shapes may stand for its arrays.
        snapshots: Writes the snapshots; None if the run has none.
        analysis: Writes analysis.jsonl; None if the run has none.
        interrupted: Whether a stop was requested.

    Returns:
        For the ledger, what is missing still, and why: "snapshots had nothing of step 3, though the checkpoint is of
        step 14". Nothing after a stop request: the next start writes what it can.

    Raises:
        LostLockError: If another process has taken over the run.
        RuntimeError: If it cannot be read which outputs are there.
    """
    outputs: list[_Output] = []
    if snapshots is not None:
        outputs.append(_Output("snapshots", snapshots, lambda: snapshot_steps(directory.snapshots_path)))
    if analysis is not None:
        outputs.append(
            _Output(
                "analysis.jsonl", analysis, lambda: [line["step"] for line in read_json_lines(directory.analysis_path)]
            )
        )
    missing = []
    # The snapshots first: the models of those that are there again can be analysed.
    for output in outputs:
        lost = _missing(output, step)
        if not lost:
            continue
        why = _write_again(output, lost, directory, like_model, interrupted)
        left = _missing(output, step)
        if written := sorted({*lost} - {*left}):
            _log.warning("%s lacked %s: written again from the saved models", output.name, _steps_text(written))
        if interrupted():
            return []
        if failed := [lost_step for lost_step in left if lost_step in why]:
            missing.append(f"{output.name} had nothing of {_steps_text(failed)}, and still has not: {why[failed[0]]}")
            _log.warning("%s", missing[-1])
        if gone := [lost_step for lost_step in left if lost_step not in why]:
            missing.append(f"{output.name} had nothing of {_steps_text(gone)}, though the checkpoint is of step {step}")
            _log.warning("%s: that is lost", missing[-1])
    return missing


def _write_again(
    output: _Output,
    lost: Sequence[int],
    directory: RunDirectory,
    like_model: PredictiveModel,
    interrupted: Callable[[], bool],
) -> dict[int, str]:
    """Writes the lost steps of one output whose models are saved; returns why others of these could not be written."""
    why: dict[int, str] = {}
    # Many snapshots on a file server that is gone: only the first is waited for.
    budget = RetryBudget()

    def saved_model(lost_step: int) -> PredictiveModel | None:
        return read_model(directory, like_model, lost_step) if lost_step in saved_steps(directory) else None

    for lost_step in lost:
        if interrupted():
            break
        try:
            model = budget.read(lambda lost_step=lost_step: saved_model(lost_step))
            if model is None:
                continue
            output.observer.observe(lost_step, model, interrupted)
            output.observer.flush()
        except LostLockError:
            raise
        except (RuntimeError, ValueError, OSError) as error:
            why[lost_step] = one_line(str(error))
            continue
        if not interrupted() and lost_step not in retry_read(output.steps):
            # What fails at one step would fail at the others too.
            return why | {other: "it could not be computed" for other in lost if other >= lost_step}
    return why


def _missing(output: _Output, end: int) -> list[int]:
    """The due steps before `end` that are not there."""
    there = {*retry_read(output.steps)}
    missing, due = [], output.observer.next_due_step(-1)
    while due is not None and due < end:
        if due not in there:
            missing.append(due)
        due = output.observer.next_due_step(due)
    return missing


def _steps_text(steps: Sequence[int]) -> str:
    named = ", ".join(map(str, steps[:_MOST_NAMED]))
    more = f" and {len(steps) - _MOST_NAMED} more" if len(steps) > _MOST_NAMED else ""
    return f"step{'s' * (len(steps) > 1)} {named}{more}"
