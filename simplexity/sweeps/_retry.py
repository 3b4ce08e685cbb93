"""Starting runs of a sweep again, in the way they were launched."""

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from simplexity.cluster import inspect_container
from simplexity.host import PreemptionGuard
from simplexity.loggers import Output
from simplexity.runs import ExitCode

from ._directory import SweepDirectory
from ._launch_settings import LocalLaunch, SlurmLaunch, SubmititLaunch
from ._local import Outcome, execute_locally
from ._local_progress import LiveProgress, PlainProgress
from ._manifest import Manifest, SweepRun, common_overrides
from ._run_status import RunState
from ._slots import divide_machine
from ._slurm_submission import require_slurm, submit_runs
from ._status_text import REPEATED_FAILURE, describe, is_repeated, repeats_its_failure, summary_lines
from ._submissions import record_submission
from ._sweep_status import SweepStatus, read_status, select_for_retry
from ._text import printable
from ._watch import display_path


def retry(
    sweep: SweepDirectory,
    guard: PreemptionGuard,
    *,
    failed: bool,
    missing: bool,
    changed_image: bool,
    repeat_failures: bool = False,
) -> ExitCode:
    """Starts again what has ended without completing.

    Args:
        sweep: The sweep.
        guard: Installed; asked whether to leave while runs of this machine go on.
        failed: Whether those that failed.
        missing: Whether those that were stopped, cancelled, lost or never begun.
        changed_image: Whether the image of the sweep's container may have changed: from now on it is this one.
        repeat_failures: Whether also those that failed by their numbers alone, as when the code has changed since.

    Raises:
        RuntimeError: If another process has the sweep, or SLURM refuses or does not answer.
    """
    sweep.require_own()
    launch = sweep.read_manifest().launch
    if isinstance(launch, SubmititLaunch):
        raise ValueError(
            "submitit launched this sweep, which this command cannot do: give the command of the sweep again, with "
            f"hydra.sweep.dir={display_path(sweep.path)}, and it submits the runs that are neither complete nor running"
        )
    if launch.on_slurm:
        require_slurm()
    with sweep.lock():
        manifest = sweep.read_manifest()
        status = read_status(sweep, locked=True)
        if status.remark:
            raise RuntimeError(f"{status.remark}: it is not known which runs are going to go on")
        for run in status.runs:
            if run.state == RunState.UNREADABLE:
                print(f"left out: #{run.run.index} is unreadable: {printable(run.reason)}")
        runs = select_for_retry(status, failed=failed, missing=missing)
        repeated = [] if repeat_failures else [run.run for run in status.runs if repeats_its_failure(run)]
        for run in runs:
            if run in repeated:
                print(f"left out: #{run.index}: {REPEATED_FAILURE}; --failed starts it all the same")
        runs = [run for run in runs if run not in repeated]
        if not runs:
            print(_nothing_to_start(sweep, status, failed=failed, missing=missing))
            return ExitCode.COMPLETE
        again = "".join(
            f"again: #{run.index} {describe(run.overrides, common_overrides(manifest.runs))}\n" for run in runs
        )
        if isinstance(manifest.launch, LocalLaunch):
            print(again, end="", flush=True)
            return conclude(sweep, drive(sweep, manifest, manifest.launch, runs, guard))
        if changed_image:
            manifest = _with_present_image(manifest)
            sweep.write_manifest(manifest)
        job_ids = submit_runs(sweep, manifest, [run.index for run in runs])
    # Not before: SLURM may refuse.
    print(again, end="")
    print(f"submitted as {', '.join(job_ids)}; to follow: simplexity status {display_path(sweep.path)} --watch")
    return ExitCode.COMPLETE


def _nothing_to_start(sweep: SweepDirectory, status: SweepStatus, *, failed: bool, missing: bool) -> str:
    """Why no run is started, and with which option some would be."""
    others = {run.index for run in select_for_retry(status, failed=not failed, missing=not missing)}
    if not others:
        return "there is nothing to start again"
    counts = Counter(run.state for run in status.runs if run.run.index in others)
    found = ", ".join(f"{counts[state]} {state}" for state in RunState if counts[state])
    option = "--missing" if failed else "--failed"
    command = f"simplexity retry {shlex.quote(display_path(sweep.path))} {option}"
    return f"no run is {'failed' if failed else 'missing'}, but there are {found}; to start them again: {command}"


def _with_present_image(manifest: Manifest) -> Manifest:
    launch = manifest.launch
    if not isinstance(launch, SlurmLaunch) or launch.profile.container is None:
        raise ValueError("--changed-image is for sweeps that run in a container, and this one does not")
    return replace(manifest, launch=replace(launch, image_digest=inspect_container(launch.profile.container).digest))


def drive(
    sweep: SweepDirectory, manifest: Manifest, launch: LocalLaunch, runs: list[SweepRun], guard: PreemptionGuard
) -> list[Outcome]:
    """Executes runs of a sweep that this process has locked here, with a table or with lines about it."""
    slots = divide_machine(launch, len(runs))
    record_submission(sweep, [run.index for run in runs])
    common = common_overrides(manifest.runs)
    shown = LiveProgress(sweep, runs, common) if sys.stdout.isatty() else PlainProgress(runs, common)
    with shown as progress:
        return execute_locally(sweep, runs, slots, guard, progress, working_folder=Path(manifest.working_folder))


def conclude(sweep: SweepDirectory, outcomes: list[Outcome]) -> ExitCode:
    """Says how it went and how to go on, and what to leave the process with."""
    path = display_path(sweep.path)
    if any(outcome.state == RunState.STOPPED for outcome in outcomes):
        complete = sum(outcome.state == RunState.COMPLETE for outcome in outcomes)
        # The terminal may have been hung up, which must not change the exit code.
        output = Output()
        output.write(f"stopped with {complete} of {len(outcomes)} runs complete; to go on: simplexity retry {path}\n")
        output.flush()
        return ExitCode.REQUEUE
    for line in summary_lines(path, read_status(sweep)):
        print(line, flush=True)
    if unfinished := unfinished_text(path, outcomes):
        print(unfinished, file=sys.stderr, flush=True)
        return ExitCode.FAILED
    return ExitCode.COMPLETE


def unfinished_text(sweep_path: str, outcomes: Sequence[Outcome]) -> str:
    """Which runs are not complete, and how to start them again, in one line; empty if all are complete."""
    failed = [outcome for outcome in outcomes if outcome.state in (RunState.FAILED, RunState.UNREADABLE)]
    others = [outcome for outcome in outcomes if outcome.state != RunState.COMPLETE]
    if not others:
        return ""
    what = f"{len(others)} of {len(outcomes)} runs are not complete"
    if failed:
        names = ", ".join(f"#{outcome.run.index}" for outcome in failed[:20]) + (", ..." if len(failed) > 20 else "")
        what = f"{len(failed)} of {len(outcomes)} runs failed: {names}"
    if failed and all(is_repeated(outcome.reason) for outcome in failed):
        return f"{what}; {REPEATED_FAILURE}"
    return f"{what}; to start them again: simplexity retry {sweep_path}"
