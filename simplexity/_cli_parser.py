"""The command line of `simplexity`: its commands and their arguments."""

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NoReturn

import simplexity
from simplexity import _cli_commands as commands
from simplexity.host import PreemptionGuard

_RESUME = (
    "Resume a run from its last checkpoint. A run whose checkpoints are gone is not started again "
    "unless its ledger, run.jsonl, is removed."
)
Command = Callable[[argparse.Namespace, PreemptionGuard], int]


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, as the commands do, instead of a page of usage."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


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
    given = sys.argv[1:] if arguments is None else list(arguments)
    parsed, rest = parser.parse_known_args(given)
    # Words that follow an option are left over where others came before it.
    if rest and ("words" not in parsed or any(word.startswith("-") for word in rest)):
        # What stands before the command is none of its options.
        where = parser if given[:1] == rest[:1] else parsed.parser
        where.error(f"unrecognized arguments: {' '.join(rest)}{_meant(rest, where)}")
    if rest:
        parsed.words.extend(rest)
    command: Command = parsed.command
    return command(parsed, guard)


def _meant(words: Sequence[str], parser: argparse.ArgumentParser) -> str:
    """A question whether the first of these words that looks like an option was to be another; empty if none does."""
    option = next((word.partition("=")[0] for word in words if word.startswith("--")), "")
    close = difflib.get_close_matches(option, re.findall(r"--[\w-]+", parser.format_help()), n=1, cutoff=0.75)
    return f" (did you mean {close[0]}?)" if close else ""


def _pack(text: str) -> int | Literal["auto"]:
    """The value of `--pack`."""
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, or auto, got {text}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="simplexity", description="Looks after runs and sweeps.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"simplexity {simplexity.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        added = subparsers.add_parser(name, help=text, description=text, allow_abbrev=False)
        added.set_defaults(command=command, parser=added)
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
    status = add_for_sweep("status", commands.status_command, text, by_default=newest)
    status.add_argument(
        "--watch", action="store_true", help="show it until the sweep ends; exit code 0 if every run is complete"
    )
    status.add_argument("--json", action="store_true", help="print JSON, an object for every run")
    text = "Overrides against final metrics, failed runs included."
    results = add_for_sweep("results", commands.results_command, text, by_default=newest)
    results.add_argument("--csv", metavar="FILE", type=Path, help="write all columns to a file, - for standard output")
    results.add_argument("--json", action="store_true", help="print all columns as JSON, an object for every run")
    text = "average over this key: mean, standard deviation and number of the runs that are equal in all others"
    results.add_argument("--over", metavar="KEY", help=text)
    results.add_argument("--sort", metavar="KEY", help="sort by a column, such as loss or seed")
    results.add_argument("--descending", action="store_true", help="the largest first")
    again = add_for_sweep(
        "retry", commands.retry_command, "Start the failed and missing runs of a sweep again, as they were launched."
    )
    again.add_argument("--failed", action="store_true", help="only runs that failed, also by a loss that is not finite")
    again.add_argument("--missing", action="store_true", help="only runs that were stopped, lost, or never began")
    again.add_argument("--changed-image", action="store_true", help="use the container image as it is now")
    add_for_sweep("cancel", commands.cancel_command, "Stop all runs of a sweep; what is running saves first.")
    logs = add("logs", commands.logs_command, "What a run has printed.")
    logs.add_argument("folder", metavar="FOLDER", type=Path, help="the folder of a sweep, or of one run")
    logs.add_argument("run", metavar="N", type=int, nargs="?", help="the run's index in the sweep")
    logs.add_argument(
        "--follow",
        action="store_true",
        help="keep printing until the run ends; that of one run: until its process ends, or at once without one",
    )
    show = add("show", commands.show_command, "The attempts at one run, why each ended, and where the time went.")
    help_text = "the run's folder (default: the newest in outputs/)"
    show.add_argument("run_dir", metavar="RUN_DIR", type=Path, nargs="?", help=help_text)
    show.add_argument("--json", action="store_true", help="print JSON, an object for every attempt")
    analyze = add(
        "analyze",
        commands.analyze_command,
        "Regress belief states on the activations of a run's saved models, with controls.",
    )
    analyze.add_argument("run_dir", metavar="RUN_DIR", type=Path, nargs="?", help=help_text)
    analyze.add_argument(
        "--steps", choices=("newest", "all"), default="newest", help="which saved steps (default: newest)"
    )
    text = "tokens of the longest words (default: the run's, or 10)"
    analyze.add_argument("--length", metavar="N", type=int, help=text)
    text = "analyse the model also as it reads the words without the BOS that the data has"
    analyze.add_argument("--also-without-bos", action="store_true", help=text)
    plot = add(
        "plot",
        commands.plot_command,
        "Draw the figures of a run or a sweep, from the files in its folder, at any time.",
    )
    help_text = "the folder of a run or of a sweep (default: the newest in outputs/ and multirun/)"
    plot.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", help=help_text)
    text = "The packaged processes: states, tokens, entropy rate, source, parameters."
    processes = add("processes", commands.processes_command, text)
    processes.add_argument("--json", action="store_true", help="print JSON, an object for every process")
    process = add(
        "process", commands.process_command, "A process exactly: matrices, stationary state, entropies, mixed states."
    )
    text = "a packaged process, or one of the site's configs; PARAMETER=VALUE instead of its config's values"
    process.add_argument("words", metavar="NAME PARAMETER=VALUE", nargs="*", help=text)
    process.add_argument("--length", metavar="L", type=int, default=10, help="entropies h(1) to h(L) (default: 10)")
    process.add_argument("--figure", metavar="PNG", type=Path, help="draw its graph and mixed states, also as SVG")
    resume = add("resume", commands.resume_command, _RESUME)
    resume.add_argument("run_dir", metavar="RUN_DIR", type=Path, nargs="?", help="the run's folder")
    resume.add_argument("--sweep", metavar="SWEEP_DIR", type=Path, help="the folder of the sweep that has the run")
    resume.add_argument("--index", metavar="N", type=int, help="the run's index in the sweep")
    text = (
        "Execute the unfinished runs of a sweep in this process, one after the other, beside those that do so already."
    )
    work = add_for_sweep("work", commands.work_command, text)
    text = "only the runs of this submission, as its worker of this number (array_0/3/12: number 3 of 12 workers)"
    work.add_argument(
        "--pack",
        metavar="N",
        type=_pack,
        help="runs of one program to train together; auto: 1 on a CPU, 64 on a GPU (default: as launched)",
    )
    work.add_argument("--place", metavar="SUBMISSION/NUMBER/COUNT", help=text)
    doctor = add(
        "doctor", commands.doctor_command, "What a run that is submitted from here will meet, and what to change."
    )
    doctor.add_argument("words", metavar="OVERRIDE", nargs="*", help="cluster=NAME, and overrides of the test run")
    doctor.add_argument(
        "--runs", metavar="DIR", type=Path, action="append", default=[], help="take stop times from these runs"
    )
    doctor.add_argument("--no-job", dest="job", action="store_false", help="submit no test job")
    doctor.add_argument(
        "--wait", metavar="MINUTES", type=float, default=5.0, help="how long the test job may take (default: 5)"
    )
    return parser
