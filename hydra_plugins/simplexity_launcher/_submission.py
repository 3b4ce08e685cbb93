"""A prepared batch of runs, submitted, shown or followed."""

import logging
import os
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

from hydra.core.utils import JobReturn
from omegaconf import DictConfig

from simplexity.sweeps import (
    UNFINISHED_STATES,
    Manifest,
    Outcome,
    RunState,
    SlurmLaunch,
    SweepDirectory,
    display_path,
    plan_arrays,
    read_status,
    submit_runs,
    watch,
)

from ._preparation import PreparedRun, new_manifest
from ._returns import job_returns

_log = logging.getLogger(__name__)


def show(sweep: SweepDirectory, config: DictConfig, launch: SlurmLaunch, prepared: Sequence[PreparedRun]) -> None:
    """Prints the batch scripts and the manifest of a batch that is not submitted."""
    manifest = new_manifest(config, launch, [one.run for one in prepared])
    for job in plan_arrays(sweep, manifest, [one.run.index for one in prepared]):
        sys.stdout.write(f"# {job.script_path}\n{job.script}\n")
    sys.stdout.write(f"# {sweep.manifest_path}\n{manifest.to_text()}")


def submit_batch(sweep: SweepDirectory, manifest: Manifest, prepared: Sequence[PreparedRun]) -> None:
    """Submits those of the runs that nothing else is executing or has completed."""
    indices = idle_runs(sweep, prepared)
    if not indices:
        return
    path = display_path(sweep.path)
    job_ids = submit_runs(sweep, manifest, indices)
    how = "as job" if len(job_ids) == 1 else "as jobs"
    _log.info("submitted %d runs %s %s, in %s", len(indices), how, ", ".join(job_ids), path)
    _log.info("to follow them: %s", _follow_command(sweep))


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


def become_watcher(sweep: SweepDirectory) -> NoReturn:
    """This process goes on as `simplexity status --watch`.

    It may take days, and a login node has better use for the memory of JAX and of all configs.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "simplexity.cli", "status", str(sweep.path), "--watch"])


def follow(sweep: SweepDirectory, manifest: Manifest, prepared: Sequence[PreparedRun]) -> list[JobReturn]:
    """Shows the sweep until it has ended, for a sweeper that goes on from how its runs end.

    Raises:
        SystemExit: If somebody leaves it to itself.
    """
    status = watch(sweep)
    if not status.has_ended:
        _log.info("the jobs go on; to follow them again: %s", _follow_command(sweep))
        raise SystemExit(0)
    batch = {one.run.index for one in prepared}
    ended = [
        Outcome(run.run, run.state, run.loss_nats, run.excess_nats, run.reason)
        for run in status.runs
        if run.run.index in batch
    ]
    return job_returns(sweep, manifest.program, ended)


def _follow_command(sweep: SweepDirectory) -> str:
    return f"simplexity status {shlex.quote(display_path(sweep.path))} --watch"
