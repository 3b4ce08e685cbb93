"""How runs ended, in Hydra's terms."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from simplexity.sweeps import Outcome, RunState, SweepDirectory, display_path, unfinished_text


class FailedReturn(JobReturn):
    """A failed run: a sweeper that asks for its return value learns of all that failed beside it.

    Hydra's own class prints a line of its own before it raises.
    """

    def __init__(self, reason: str, summary: str, fields: Mapping[str, Any]):
        super().__init__(**fields, status=JobStatus.FAILED)
        self._return_value = RuntimeError(reason)
        self._summary = summary

    @property
    def return_value(self) -> Any:
        raise RuntimeError(self._summary)


def job_returns(sweep: SweepDirectory, program: str, outcomes: Sequence[Outcome]) -> list[JobReturn]:
    """What a launcher returns for runs that have ended: the final loss of each, which a sweeper minimises."""
    summary = unfinished_text(display_path(sweep.path), outcomes)
    returns: list[JobReturn] = []
    for outcome in outcomes:
        fields = {
            "overrides": list(outcome.run.overrides),
            "working_dir": str(Path(sweep.path, outcome.run.directory)),
            "task_name": program,
        }
        if outcome.state == RunState.COMPLETE:
            returns.append(JobReturn(**fields, status=JobStatus.COMPLETED, _return_value=outcome.loss_nats))
        else:
            returns.append(FailedReturn(outcome.reason or outcome.state.value, summary, fields))
    return returns
