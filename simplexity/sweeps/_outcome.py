"""How a run ended that a local sweep has executed."""

from typing import NamedTuple

from simplexity.runs import RetryBudget, read_ledger

from ._directory import SweepDirectory
from ._manifest import SweepRun
from ._queue import has_failed_in
from ._run_files import reading_failure
from ._run_status import RunState


class Outcome(NamedTuple):
    """How a run ended; it was stopped if a stop of the sweep was requested, or another run has failed.

    Attributes:
        run: The manifest's entry.
        state: COMPLETE, FAILED, UNREADABLE or STOPPED.
        loss_nats: Final loss of a complete run.
        excess_nats: Final loss minus the optimum, of a complete run whose optimum is known.
        reason: One line on why it failed or cannot be read; empty otherwise.
    """

    run: SweepRun
    state: RunState
    loss_nats: float | None = None
    excess_nats: float | None = None
    reason: str = ""


def outcome_of(
    sweep: SweepDirectory, run: SweepRun, budget: RetryBudget, submission: str | None = None
) -> Outcome | None:
    """How a run has ended; None if it has not, and a worker may execute it.

    Args:
        sweep: The sweep.
        run: The run.
        budget: Tries at reading the files of one run after the other.
        submission: Name of the run's last submission, in which it may have failed; None to start a failed run again.
    """
    directory = sweep.run_directory(run)
    try:
        completion, events = budget.read(lambda: (directory.read_completion(), read_ledger(directory.ledger_path)))
    except (RuntimeError, ValueError, OSError) as error:
        return Outcome(run, RunState.UNREADABLE, reason=reading_failure(error))
    if completion is not None and completion.step >= run.num_train_steps:
        return Outcome(run, RunState.COMPLETE, completion.loss_nats, completion.excess_nats)
    if submission is None:
        return None
    if has_failed_in(events, submission):
        return Outcome(run, RunState.FAILED, reason=events[-1].reason or "")
    return None
