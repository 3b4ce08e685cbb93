"""The commands of `simplexity`. Each reads files first and asks SLURM second."""

import argparse
import math
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import simplexity
from simplexity.host import PreemptionGuard
from simplexity.runs import ExitCode, RunDirectory, wants_colour
from simplexity.sweeps import (
    RunState,
    SweepDirectory,
    cancel,
    copy_log,
    display_path,
    follow_log,
    newest_folder,
    read_status,
    results_json,
    results_rows,
    results_text,
    retry,
    run_json,
    run_text,
    sort_rows,
    status_json,
    status_text,
    watch,
    write_csv,
    write_csv_rows,
)

_RESUME = (
    "Resume a run from its last checkpoint. A run whose checkpoints are gone is not started again "
    "unless its ledger, run.jsonl, is removed."
)
Command = Callable[[argparse.Namespace, PreemptionGuard], int]


def run_command(arguments: Sequence[str] | None, guard: PreemptionGuard) -> int:
    """Runs a command; None for the process's arguments.

    Raises:
        ValueError: If the command names something that is not there.
        RuntimeError: If something fails.
    """
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:
        # The shell asks what may follow.
        import argcomplete  # pyright: ignore[reportMissingImports]

        argcomplete.autocomplete(parser)
    parsed = parser.parse_args(arguments)
    command: Command = parsed.command
    return command(parsed, guard)


def _status(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    sweep = _sweep(arguments)
    path = display_path(sweep.path)
    if arguments.watch and arguments.json:
        raise ValueError("`--json` prints one moment, and `--watch` follows the sweep: give one of them")
    if not arguments.watch:
        status = read_status(sweep)
        text = status_json(sweep, status) if arguments.json else None
        print(text or status_text(path, status, width=_terminal_width(), colour=wants_colour(sys.stdout)))
        return ExitCode.COMPLETE
    status = watch(sweep)
    if not status.has_ended:
        print(f"the runs keep running; to watch them again: simplexity status {shlex.quote(path)} --watch")
        return ExitCode.COMPLETE
    return ExitCode.COMPLETE if status.counts[RunState.COMPLETE] == len(status.runs) else ExitCode.FAILED


def _results(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    sweep = _sweep(arguments)
    if arguments.csv is not None and arguments.json:
        raise ValueError("give one of `--csv` and `--json`")
    rows = results_rows(sweep, read_status(sweep))
    if arguments.sort is not None:
        rows = sort_rows(rows, arguments.sort, descending=arguments.descending)
    if arguments.json:
        print(results_json(rows))
    elif arguments.csv is None:
        print(results_text(rows, width=_terminal_width(), colour=wants_colour(sys.stdout)))
    elif str(arguments.csv) == "-":
        write_csv_rows(sys.stdout, rows)
    else:
        write_csv(arguments.csv, rows)
        # Not on standard output, which the file may be: /dev/stdout.
        print(f"wrote {len(rows)} runs to {arguments.csv}", file=sys.stderr)
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
    (follow_log if arguments.follow else copy_log)(sweep, run, sys.stdout.buffer)
    return ExitCode.COMPLETE


def _show(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    folder = arguments.run_dir or _newest("run")
    directory = RunDirectory(folder.absolute())
    if arguments.json:
        print(run_json(directory))
    else:
        print(run_text(directory, width=_terminal_width(), colour=wants_colour(sys.stdout)))
    return ExitCode.COMPLETE


def _resume(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    """Resumes a run, in this process. It is also what executes every run of a sweep, here and on a node."""
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
    from simplexity.running import exit_process, run_frozen

    exit_process(run_frozen(run_dir, guard, log_name), guard)


def _analyze(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    run_dir = arguments.run_dir or _newest("run")
    # Hydra, OmegaConf and JAX.
    from simplexity.composition import ConfigError
    from simplexity.running import analyze_run

    try:
        pictures = analyze_run(
            run_dir, every_step=arguments.steps == "all", length=arguments.length, interrupted=guard.requested
        )
    except ConfigError as error:
        raise ValueError(str(error)) from None
    if pictures is None:
        return ExitCode.FAILED
    for picture in pictures:
        print(f"picture: {display_path(picture)}")
    return ExitCode.COMPLETE


def _plot(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    folder = (arguments.folder or _newest("run or sweep")).absolute()
    is_run = RunDirectory(folder).config_path.is_file()
    # Who names neither is told what a sweep is.
    sweep = None if is_run else SweepDirectory.open(folder)
    # Matplotlib.
    from simplexity.figures import draw_run, draw_sweep

    figures = draw_run(RunDirectory(folder)) if sweep is None else draw_sweep(sweep)
    print("\n".join(map(display_path, figures)) or "nothing to draw yet: nothing has been logged")
    return ExitCode.COMPLETE


def _process(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    from simplexity._cli_processes import print_process

    return print_process(arguments.name, arguments.parameters, arguments.length, arguments.figure)


def _doctor(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    if not 0 < arguments.wait < math.inf:
        raise ValueError(f"`--wait` must be a number of minutes above 0, got {arguments.wait:g}")
    # Hydra and OmegaConf, and never JAX.
    from simplexity._cli_doctor import doctor

    return doctor(
        arguments.overrides,
        guard,
        stopped_runs=arguments.runs,
        with_job=arguments.job,
        wait_s=60 * arguments.wait,
    )


def _sweep(arguments: argparse.Namespace) -> SweepDirectory:
    return SweepDirectory.open(arguments.sweep_dir or _newest("sweep"))


def _newest(what: Literal["run", "sweep", "run or sweep"]) -> Path:
    folder = newest_folder(Path.cwd(), what)
    print(f"the newest {what}: {display_path(folder)}", file=sys.stderr)
    return folder


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simplexity", description="Looks after runs and sweeps.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"simplexity {simplexity.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(command=command)
        return added

    def add_for_sweep(name: str, command: Command, text: str, *, by_default: str = "") -> argparse.ArgumentParser:
        added = add(name, command, text)
        added.add_argument(
            "sweep_dir",
            metavar="SWEEP_DIR",
            type=Path,
            nargs="?" if by_default else None,
            help=f"the sweep's folder{by_default}",
        )
        return added

    newest = " (default: the newest in multirun/)"
    text = "The state of each run of a sweep, and where the time goes."
    status = add_for_sweep("status", _status, text, by_default=newest)
    status.add_argument(
        "--watch", action="store_true", help="show it until the sweep ends; exit code 0 if every run is complete"
    )
    status.add_argument("--json", action="store_true", help="print JSON, an object for every run")
    text = "Overrides against final metrics, failed runs included."
    results = add_for_sweep("results", _results, text, by_default=newest)
    results.add_argument("--csv", metavar="FILE", type=Path, help="write all columns to a file, - for standard output")
    results.add_argument("--json", action="store_true", help="print all columns as JSON, an object for every run")
    results.add_argument("--sort", metavar="KEY", help="sort by a column, such as loss or seed")
    results.add_argument("--descending", action="store_true", help="the largest first")
    again = add_for_sweep("retry", _retry, "Start the failed and missing runs of a sweep again, as they were launched.")
    again.add_argument("--failed", action="store_true", help="only runs that failed, also by a loss that is not finite")
    again.add_argument("--missing", action="store_true", help="only runs that were stopped, lost, or never began")
    again.add_argument("--changed-image", action="store_true", help="use the container image as it is now")
    add_for_sweep("cancel", _cancel, "Stop all runs of a sweep; what is running saves first.")
    logs = add_for_sweep("logs", _logs, "What a run has printed.")
    logs.add_argument("run", metavar="N", type=int, help="the run's index")
    logs.add_argument("--follow", action="store_true", help="keep printing until the run ends")
    show = add("show", _show, "The attempts at one run, why each ended, and where the time went.")
    help_text = "the run's folder (default: the newest in outputs/)"
    show.add_argument("run_dir", metavar="RUN_DIR", type=Path, nargs="?", help=help_text)
    show.add_argument("--json", action="store_true", help="print JSON, an object for every attempt")
    analyze = add(
        "analyze", _analyze, "Regress belief states on the activations of a run's saved models, with controls."
    )
    analyze.add_argument("run_dir", metavar="RUN_DIR", type=Path, nargs="?", help=help_text)
    analyze.add_argument(
        "--steps", choices=("newest", "all"), default="newest", help="which saved steps (default: newest)"
    )
    text = "tokens of the longest words (default: the run's, or 10)"
    analyze.add_argument("--length", metavar="N", type=int, help=text)
    plot = add("plot", _plot, "Draw the figures of a run or a sweep, from the files in its folder, at any time.")
    help_text = "the folder of a run or of a sweep (default: the newest in outputs/ and multirun/)"
    plot.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", help=help_text)
    processes = add("processes", _process, "The packaged processes: states, tokens, entropy rate, source, parameters.")
    processes.set_defaults(name=None, parameters=[], length=1, figure=None)
    process = add("process", _process, "A process exactly: matrices, stationary state, entropies, mixed states.")
    process.add_argument("name", metavar="NAME", help="a packaged process, or one of the site's configs")
    process.add_argument("parameters", metavar="PARAMETER=VALUE", nargs="*", help="instead of the config's values")
    process.add_argument("--length", metavar="L", type=int, default=10, help="entropies h(1) to h(L) (default: 10)")
    process.add_argument("--figure", metavar="PNG", type=Path, help="draw its graph and mixed states, also as SVG")
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
