"""What the commands of `simplexity` do. Each reads files first and asks SLURM second."""

import argparse
import math
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from simplexity.cluster import step_tasks
from simplexity.host import PreemptionGuard, outlive_readers
from simplexity.process_rows import read_rows, row_lines, rows_json
from simplexity.runs import ExitCode, RunDirectory, UnreadableError, counted, error_text, is_there, wants_colour
from simplexity.sweeps import (
    RunState,
    SweepDirectory,
    WorkerPlace,
    average_rows,
    averages_lines,
    cancel,
    copy_log,
    display_path,
    find_log,
    follow_log,
    newest_folder,
    paused_collector,
    read_status,
    require_own,
    results_json,
    results_lines,
    results_rows,
    retry,
    run_json,
    run_text,
    sort_rows,
    status_json,
    status_lines,
    stop_others,
    watch,
    write_csv,
    write_csv_rows,
)

# What there is for one run, where a command is for sweeps.
_RESUME = "to start it again: simplexity resume {folder}"
_STOP = "Ctrl-C in its terminal stops it, or scancel of its job"


def status_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    sweep = _sweep(arguments)
    path = display_path(sweep.path)
    if arguments.watch and arguments.json:
        raise ValueError("`--json` prints one moment, and `--watch` follows the sweep: give one of them")
    if not arguments.watch:
        with paused_collector():
            status = read_status(sweep)
            if arguments.json:
                sys.stdout.writelines(status_json(sweep, status))
            else:
                _print_lines(status_lines(path, status, width=_terminal_width(), colour=wants_colour(sys.stdout)))
        return ExitCode.COMPLETE
    status = watch(sweep)
    if not status.has_ended:
        print(f"the runs keep running; to watch them again: simplexity status {shlex.quote(path)} --watch")
        return ExitCode.COMPLETE
    return ExitCode.COMPLETE if status.counts[RunState.COMPLETE] == len(status.runs) else ExitCode.FAILED


@paused_collector()
def results_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    sweep = _sweep(arguments)
    if arguments.csv is not None and arguments.json:
        raise ValueError("give one of `--csv` and `--json`")
    rows: Sequence[Mapping[str, Any]] = results_rows(sweep, read_status(sweep))
    if arguments.over is not None:
        rows = average_rows(rows, arguments.over)
    if arguments.sort is not None:
        rows = sort_rows(rows, arguments.sort, descending=arguments.descending)
    if arguments.json:
        sys.stdout.writelines(results_json(rows))
    elif arguments.csv is None:
        as_lines = results_lines if arguments.over is None else averages_lines
        _print_lines(as_lines(rows, width=_terminal_width(), colour=wants_colour(sys.stdout)))
    elif str(arguments.csv) == "-":
        write_csv_rows(sys.stdout, rows)
    else:
        write_csv(arguments.csv, rows)
        # Not on standard output, which the file may be: /dev/stdout.
        wrote = counted(len(rows), "run" if arguments.over is None else "row")
        print(f"wrote {wrote} to {arguments.csv}", file=sys.stderr)
    return ExitCode.COMPLETE


def retry_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    sweep = SweepDirectory.open(arguments.sweep_dir, for_one_run=_RESUME)
    outlive_readers()
    both = arguments.failed == arguments.missing
    return retry(
        sweep,
        guard,
        failed=arguments.failed or both,
        missing=arguments.missing or both,
        changed_image=arguments.changed_image,
        repeat_failures=arguments.failed,
    )


def cancel_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    print(cancel(SweepDirectory.open(arguments.sweep_dir, for_one_run=_STOP)))
    return ExitCode.COMPLETE


def logs_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    log = find_log(arguments.folder, arguments.run)
    if arguments.follow:
        # Not on standard output, which may go into a file or a pipe.
        follow_log(log, sys.stdout.buffer, lambda line: print(line, file=sys.stderr))
    else:
        copy_log(log, sys.stdout.buffer)
    return ExitCode.COMPLETE


def show_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    folder = arguments.run_dir or _newest("run")
    directory = RunDirectory(folder.absolute())
    if arguments.json:
        print(run_json(directory))
    else:
        print(run_text(directory, width=_terminal_width(), colour=wants_colour(sys.stdout)))
    return ExitCode.COMPLETE


def resume_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    """Resumes a run, in this process. It is also what executes every run of a sweep, here and on a node."""
    outlive_readers()
    if (arguments.run_dir is None) == (arguments.sweep is None) or (arguments.sweep is None) != (
        arguments.index is None
    ):
        raise ValueError("give either RUN_DIR, or --sweep SWEEP_DIR and --index N")
    # Hydra, OmegaConf and, once the config was found, JAX: nothing that the other commands have use for.
    from simplexity.running import exit_process, run_frozen, start_once_more

    if arguments.sweep is None:
        run_dir, log_name, sweep, run, note = arguments.run_dir.absolute(), None, None, None, None
    else:
        note = SweepDirectory(arguments.sweep.absolute()).unreadable_path(str(arguments.index))
        try:
            sweep = SweepDirectory.open(arguments.sweep)
            run = sweep.read_run(arguments.index)
            run_dir = sweep.run_directory(run).path
            log_name = f"{sweep.read_manifest(with_runs=False).program}.log"
        except UnreadableError as error:
            exit_process(start_once_more(note, error, stop_requested=guard.requested()), guard)
    code = run_frozen(run_dir, guard, log_name, note)
    if sweep is not None and run is not None and code not in (ExitCode.COMPLETE, ExitCode.REQUEUE):
        stop_others(sweep, run, as_array_task=True)
    exit_process(code, guard)


def work_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    """Executes runs of a sweep, in this process. It is also what a local sweep and array tasks with workers start."""
    place = None if arguments.place is None else WorkerPlace.parse(arguments.place)
    # Hydra, OmegaConf and JAX.
    from simplexity.running import exit_process, start_once_more, work

    try:
        sweep = SweepDirectory.open(arguments.sweep_dir, for_one_run=_RESUME)
        outlive_readers()
        require_own(sweep)
    except UnreadableError as error:
        if place is None:
            raise
        note = SweepDirectory(arguments.sweep_dir.absolute()).unreadable_path(place.name)
        exit_process(start_once_more(note, error, stop_requested=guard.requested()), guard)
    if step_tasks() is not None:
        raise ValueError("`simplexity work` executes runs of one process each: give srun `-n1`")
    exit_process(work(sweep, guard, place, arguments.pack), guard)


def analyze_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    run_dir = arguments.run_dir or _newest("run")
    every_step = arguments.steps == "all"
    guard.saves = every_step
    # Hydra, OmegaConf and JAX.
    from simplexity.composition import ConfigError
    from simplexity.running import analyze_run

    try:
        pictures = analyze_run(
            run_dir,
            every_step=every_step,
            length=arguments.length,
            also_without_bos=arguments.also_without_bos,
            interrupted=guard.requested,
        )
    except ConfigError as error:
        return _report_mistakes(error)
    if pictures is None:
        analyses = display_path(RunDirectory(run_dir).analysis_path)
        kept = f"the steps that are printed above are kept in {analyses}" if every_step else "nothing was written"
        print(f"interrupted: {kept}; the same command begins with the first step again", file=sys.stderr)
        return ExitCode.FAILED
    for picture in pictures:
        print(f"picture: {display_path(picture)}")
    return ExitCode.COMPLETE


def plot_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    folder = (arguments.folder or _newest("run or sweep")).absolute()
    is_run = RunDirectory(folder).config_path.is_file()
    # Who names neither is told what a sweep is.
    sweep = None if is_run else SweepDirectory.open(folder)
    directory = RunDirectory(folder)
    lacks_belief_states = is_there(directory.analysis_path) and not is_there(directory.belief_states_path)
    if sweep is None and lacks_belief_states and not _restore_belief_states(directory, guard):
        return ExitCode.FAILED
    # Matplotlib.
    from simplexity.figures import draw_run, draw_sweep

    figures = draw_run(directory) if sweep is None else draw_sweep(sweep)
    print("\n".join(map(display_path, figures)) or "nothing to draw yet: nothing has been logged")
    return ExitCode.COMPLETE


def _restore_belief_states(directory: RunDirectory, guard: PreemptionGuard) -> bool:
    """Computes what a compact run has removed; False if it was interrupted. Other figures need nothing of it."""
    # Hydra, OmegaConf and JAX.
    from simplexity.composition import ConfigError
    from simplexity.running import restore_belief_states

    print("computing the belief states, which the compact run does not keep", file=sys.stderr)
    try:
        return restore_belief_states(directory.path, interrupted=guard.requested)
    except (ConfigError, ValueError, RuntimeError) as error:
        print(f"no picture of the belief states: {error}", file=sys.stderr)
        return True


def processes_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    rows = read_rows()
    if arguments.json:
        sys.stdout.write(rows_json(rows))
        return ExitCode.COMPLETE
    _print_lines(row_lines(rows, _terminal_width()))
    if sys.stdout.isatty():
        print("simplexity process NAME shows one exactly, with its source and its parameters")
    return ExitCode.COMPLETE


def process_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    # JAX, Hydra and OmegaConf.
    from simplexity._cli_processes import print_process

    return print_process(arguments.words, arguments.length, arguments.figure)


def doctor_command(arguments: argparse.Namespace, guard: PreemptionGuard) -> int:
    if not 0 < arguments.wait < math.inf:
        raise ValueError(f"`--wait` must be a number of minutes above 0, got {arguments.wait:g}")
    # Hydra and OmegaConf, and never JAX.
    from simplexity._cli_doctor import doctor
    from simplexity.composition import ConfigError

    try:
        return doctor(
            arguments.words,
            guard,
            stopped_runs=arguments.runs,
            with_job=arguments.job,
            wait_s=60 * arguments.wait,
        )
    except ConfigError as error:
        return _report_mistakes(error)


def _report_mistakes(error: Exception) -> int:
    """Prints what is wrong with a config, each mistake on a line of its own."""
    print(error_text(f"simplexity: {error}", sys.stderr), file=sys.stderr)
    return ExitCode.BAD_CONFIG


def _sweep(arguments: argparse.Namespace) -> SweepDirectory:
    return SweepDirectory.open(arguments.sweep_dir or _newest("sweep"))


def _newest(what: Literal["run", "sweep", "run or sweep"]) -> Path:
    folder = newest_folder(Path.cwd(), what)
    print(f"the newest {what}: {display_path(folder)}", file=sys.stderr)
    return folder


def _print_lines(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _terminal_width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
