"""A batch of runs in Hydra's terms: which of them are to start, and how they ended."""

import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus

from simplexity.sweeps import (
    UNFINISHED_STATES,
    Manifest,
    Outcome,
    RunState,
    SweepDirectory,
    display_path,
    read_status,
    unfinished_text,
    watch,
)

from ._hydra_internals import FailedReturn
from ._preparation import PreparedRun

_log = logging.getLogger(__name__)


def idle_runs(sweep: SweepDirectory, prepared: Sequence[PreparedRun]) -> list[int]:
    """Those of the runs, of a sweep that this process has locked, that nothing is executing or has completed.

    Raises:
        RuntimeError: If SLURM does not answer, so that it is not known.
    """
    idle = UNFINISHED_STATES | {RunState.FAILED}
    batch = {one.run.index for one in prepared}
    status = read_status(sweep, locked=True)
    if status.remark:
        raise RuntimeError(status.remark)
    indices = [run.run.index for run in status.runs if run.run.index in batch and run.state in idle]
    if not indices:
        path = display_path(sweep.path)
        _log.info("nothing to submit: the runs of %s are complete or running already", path)
    return indices


def follow(sweep: SweepDirectory, manifest: Manifest, prepared: Sequence[PreparedRun]) -> list[JobReturn]:
    """Shows the sweep until it has ended, for a sweeper whose next batch depends on how its runs end.

    Raises:
        SystemExit: After Ctrl-C, which does not stop the runs.
    """
    status = watch(sweep)
    if not status.has_ended:
        _log.info("the jobs keep running; to watch them again: %s", watch_command(sweep))
        raise SystemExit(0)
    batch = {one.run.index for one in prepared}
    ended = [
        Outcome(run.run, run.state, run.loss_nats, run.excess_nats, run.reason)
        for run in status.runs
        if run.run.index in batch
    ]
    return job_returns(sweep, manifest.program, ended)


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
            completed = JobReturn(**fields, status=JobStatus.COMPLETED)
            completed.return_value = outcome.loss_nats
            returns.append(completed)
        else:
            returns.append(FailedReturn(outcome.reason or outcome.state.value, summary, fields))
    return returns


def watch_command(sweep: SweepDirectory) -> str:
    """What to type to watch the sweep."""
    return f"simplexity status {shlex.quote(display_path(sweep.path))} --watch"
