"""The commands of `simplexity`. Each reads files first and asks SLURM second."""

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from simplexity.cluster import PreemptionGuard
from simplexity.runs import ExitCode, RunDirectory
from simplexity.sweeps import (
    RunState,
    SweepDirectory,
    cancel,
    display_path,
    read_status,
    results_rows,
    results_text,
    retry,
    run_text,
    sort_rows,
    status_text,
    watch,
    write_csv,
)

_RESUME = (
    "Go on with a run from its last checkpoint. A run whose checkpoints are gone is not begun again, "
    "unless its ledger, run.jsonl, is removed."
)
Command = Callable[[argparse.Namespace, PreemptionGuard], int]


def run_command(arguments: Sequence[str] | None, guard: PreemptionGuard) -> int:
    """Runs a command; None for the process's arguments.

    Raises:
        ValueError: If the command names something that is not there.
        RuntimeError: If something fails.
    """
    parsed = _parser().parse_args(arguments)
    command: Command = parsed.command
    return command(parsed, guard)


def _status(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    sweep = SweepDirectory.open(arguments.sweep_dir)
    path = display_path(sweep.path)
    if not arguments.watch:
        print(status_text(path, read_status(sweep), width=_terminal_width()))
        return ExitCode.COMPLETE
    status = watch(sweep)
    if not status.has_ended:
        print(f"the runs go on; to follow them again: simplexity status {shlex.quote(path)} --watch")
        return ExitCode.COMPLETE
    return ExitCode.COMPLETE if status.counts[RunState.COMPLETE] == len(status.runs) else ExitCode.FAILED


def _results(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    sweep = SweepDirectory.open(arguments.sweep_dir)
    rows = results_rows(sweep, read_status(sweep))
    if arguments.sort is not None:
        rows = sort_rows(rows, arguments.sort, descending=arguments.descending)
    if arguments.csv is None:
        print(results_text(rows, width=_terminal_width()))
    else:
        write_csv(arguments.csv, rows)
        print(f"wrote {len(rows)} runs to {arguments.csv}")
    return ExitCode.COMPLETE


def _retry(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    both = arguments.failed == arguments.missing
    sweep = SweepDirectory.open(arguments.sweep_dir)
    return retry(
        sweep,
        guard,
        failed=arguments.failed or both,
        missing=arguments.missing or both,
        changed_image=arguments.changed_image,
        repeat_failures=arguments.failed,
    )


def _cancel(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    print(cancel(SweepDirectory.open(arguments.sweep_dir)))
    return ExitCode.COMPLETE


def _logs(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    sweep = SweepDirectory.open(arguments.sweep_dir)
    run = sweep.read_manifest().run(arguments.run)
    try:
        with open(sweep.log_path(run.index), "rb") as log:
            shutil.copyfileobj(log, sys.stdout.buffer)
    except FileNotFoundError:
        raise RuntimeError(f"run {run.index} has printed nothing yet: it has not begun") from None
    return ExitCode.COMPLETE


def _show(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    print(run_text(RunDirectory(arguments.run_dir.absolute())))
    return ExitCode.COMPLETE


def _resume(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    """Goes on with a run, in this process. It is also what executes every run of a sweep, here and on a node."""
    if (arguments.run_dir is None) == (arguments.sweep is None) or (arguments.sweep is None) != (
        arguments.index is None
    ):
        raise ValueError("give either RUN_DIR, or --sweep SWEEP_DIR and --index N")
    if arguments.sweep is None:
        run_dir, log_name = arguments.run_dir.absolute(), None
    else:
        sweep = SweepDirectory.open(arguments.sweep)
        manifest = sweep.read_manifest()
        run_dir = sweep.run_directory(manifest.run(arguments.index)).path
        log_name = f"{manifest.program}.log"
    # Hydra, OmegaConf and, once the config was found, JAX: nothing that the other commands have use for.
    from simplexity._cli_resume import resume

    resume(run_dir, guard, log_name)


def _doctor(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    if arguments.wait <= 0:
        raise ValueError(f"`--wait` must be more than 0 minutes, got {arguments.wait:g}")
    # Hydra and OmegaConf, and never JAX.
    from simplexity._cli_doctor import doctor

    return doctor(
        arguments.overrides,
        guard,
        stopped_runs=arguments.runs,
        with_job=arguments.job,
        wait_s=60 * arguments.wait,
    )


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simplexity", description="Looks after runs and sweeps.", allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(command=command)
        return added

    def add_for_sweep(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = add(name, command, text)
        added.add_argument("sweep_dir", metavar="SWEEP_DIR", type=Path, help="the sweep's folder")
        return added

    status = add_for_sweep("status", _status, "How each run of a sweep stands, and where the time goes.")
    status.add_argument(
        "--watch", action="store_true", help="go on until the sweep ends; exit code 0 if all is complete"
    )
    results = add_for_sweep("results", _results, "Overrides against final metrics, failed runs included.")
    results.add_argument("--csv", metavar="FILE", type=Path, help="write all columns to a file")
    results.add_argument("--sort", metavar="KEY", help="sort by a column, such as loss or seed")
    results.add_argument("--descending", action="store_true", help="the largest first")
    again = add_for_sweep("retry", _retry, "Start again what failed or is missing, as it was launched.")
    again.add_argument("--failed", action="store_true", help="only runs that failed, also by a loss that is not finite")
    again.add_argument("--missing", action="store_true", help="only runs that were stopped, lost, or never began")
    again.add_argument("--changed-image", action="store_true", help="go on with the container image as it now is")
    add_for_sweep("cancel", _cancel, "Stop all runs of a sweep; what is running saves first.")
    logs = add_for_sweep("logs", _logs, "What a run has printed.")
    logs.add_argument("run", metavar="N", type=int, help="the run's index")
    show = add("show", _show, "The attempts at one run, why each ended, and where the time went.")
    show.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="the run's folder")
    resume = add("resume", _resume, _RESUME)
    resume.add_argument("run_dir", metavar="RUN_DIR", type=Path, nargs="?", help="the run's folder")
    resume.add_argument("--sweep", metavar="SWEEP_DIR", type=Path, help="the folder of the sweep that has the run")
    resume.add_argument("--index", metavar="N", type=int, help="the run's index in the sweep")
    doctor = add("doctor", _doctor, "What a run that is submitted from here will meet, and what to change.")
    doctor.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="cluster=NAME, and overrides of the test run")
    doctor.add_argument(
        "--runs", metavar="DIR", type=Path, action="append", default=[], help="take stop times from these runs"
    )
    doctor.add_argument("--no-job", dest="job", action="store_false", help="submit no test job")
    doctor.add_argument(
        "--wait", metavar="MINUTES", type=float, default=5.0, help="how long the test job may take (default: 5)"
    )
    return parser
