"""Starting runs of a sweep again, in the way they were launched."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from simplexity.cluster import inspect_container
from simplexity.host import PreemptionGuard
from simplexity.runs import ExitCode

from ._directory import SweepDirectory
from ._launch_settings import LocalLaunch, SlurmLaunch, SubmititLaunch
from ._local_progress import print_summary, run_locally
from ._manifest import Manifest, common_overrides
from ._ownership import require_own
from ._run_status import RunState
from ._slurm_submission import require_slurm, submit_runs
from ._status_text import REPEATED_FAILURE, needed_changes, repeats_its_failure
from ._sweep_status import SweepStatus, read_status, select_for_retry
from ._text import describe, display_path, listed, printable

_MOST_PRINTED = 20


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
        guard: Installed; says whether a stop was requested while runs execute on this machine.
        failed: Whether those that failed.
        missing: Whether those that were stopped, cancelled, lost or never begun.
        changed_image: Whether the image of the sweep's container may have changed: from now on it is this one.
        repeat_failures: Whether also those that failed by their numbers alone, as when the code has changed since.

    Raises:
        RuntimeError: If another process has the sweep, or SLURM refuses or does not answer.
    """
    require_own(sweep)
    launch = sweep.read_manifest(with_runs=False).launch
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
            raise RuntimeError(f"{status.remark}: it is not known which runs SLURM will still execute")
        unreadable = [run for run in status.runs if run.state == RunState.UNREADABLE]
        _print_some([f"skipped: #{run.run.index} is unreadable: {printable(run.reason)}" for run in unreadable])
        runs = select_for_retry(status, failed=failed, missing=missing)
        repeated = set() if repeat_failures else {run.run.index for run in status.runs if repeats_its_failure(run)}
        if skipped := [f"#{run.index}" for run in runs if run.index in repeated]:
            print(f"skipped: {listed(skipped, _MOST_PRINTED)}: {REPEATED_FAILURE}; --failed starts it nevertheless")
        runs = [run for run in runs if run.index not in repeated]
        if not runs:
            print(_nothing_to_start(sweep, status, failed=failed, missing=missing))
            return ExitCode.COMPLETE
        common = common_overrides(manifest.runs)
        again = [f"again: #{run.index} {describe(run.overrides, common)}" for run in runs]
        if isinstance(manifest.launch, LocalLaunch):
            _print_some(again)
            outcomes = run_locally(sweep, manifest, manifest.launch, runs, guard)
            return print_summary(sweep, outcomes, stop_requested=guard.requested())
        if changed_image:
            manifest = _with_present_image(manifest)
            sweep.write_manifest(manifest)
        job_ids = submit_runs(sweep, manifest, [run.index for run in runs])
    # Not before: SLURM may refuse.
    _print_some(again)
    watch = f"simplexity status {shlex.quote(display_path(sweep.path))} --watch"
    chosen = {run.index for run in runs}
    changes = needed_changes(display_path(sweep.path), [run for run in status.runs if run.run.index in chosen])
    print(*changes, f"submitted as {', '.join(job_ids)}; to watch: {watch}", sep="\n")
    return ExitCode.COMPLETE


def _print_some(lines: Sequence[str]) -> None:
    """Prints what a person still reads of lines that may be thousands."""
    more = len(lines) - _MOST_PRINTED
    print(
        *lines[:_MOST_PRINTED],
        *([f"... and {more:,} more"] if more > 0 else []),
        sep="\n",
        end="\n" if lines else "",
        flush=True,
    )


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
