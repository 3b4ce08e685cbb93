"""A sweep on this machine as a person sees it: the table or lines while it runs, and the summary at its end."""

import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from simplexity.host import PreemptionGuard
from simplexity.loggers import Output
from simplexity.runs import ExitCode, error_text, red, wants_colour

from ._directory import SweepDirectory
from ._launch_settings import LocalLaunch
from ._local import LocalExecution
from ._manifest import Manifest, SweepRun, common_overrides
from ._outcome import Outcome
from ._run_files import read_run
from ._run_status import RunState, run_status
from ._scheduler_state import SchedulerState
from ._slots import divide_machine
from ._status_text import REPEATED_FAILURE, is_repeated, summary_lines
from ._sweep_status import read_status
from ._text import by_columns, describe, display_path, duration, number, printable, table

_REFRESH_S = 1.0


def run_locally(
    sweep: SweepDirectory, manifest: Manifest, launch: LocalLaunch, runs: list[SweepRun], guard: PreemptionGuard
) -> list[Outcome]:
    """Executes runs of a sweep on this machine, and shows them: as a table on a terminal, as lines elsewhere.

    Args:
        sweep: The sweep, locked by this process.
        manifest: Its manifest.
        launch: How many run at a time, and on which cores.
        runs: What to execute.
        guard: Installed; says whether a stop was requested.

    Returns:
        How each run ended, in their order.
    """
    slots = divide_machine(launch, len(runs))
    sweep.record_submission([run.index for run in runs])
    common = common_overrides(manifest.runs)
    shown = LiveProgress(sweep, runs, common) if sys.stdout.isatty() else PlainProgress(runs, common)
    with shown as progress:
        stop = launch.on_failure == "stop"
        folder = Path(manifest.working_folder)
        return LocalExecution(sweep, runs, slots, guard, progress, working_folder=folder, stop_on_failure=stop).run()


def print_summary(sweep: SweepDirectory, outcomes: list[Outcome], *, stop_requested: bool) -> ExitCode:
    """Prints how runs that were executed here have ended, and what to type next.

    Args:
        sweep: The sweep.
        outcomes: How they ended.
        stop_requested: Whether a stop was requested; a failed run can stop the others too.

    Returns:
        The exit code of the process.
    """
    path = display_path(sweep.path)
    if stop_requested and any(outcome.state == RunState.STOPPED for outcome in outcomes):
        complete = sum(outcome.state == RunState.COMPLETE for outcome in outcomes)
        # The terminal may have been hung up, which must not change the exit code.
        output = Output()
        retry = f"simplexity retry {shlex.quote(path)}"
        output.write(f"stopped with {complete} of {len(outcomes)} runs complete; to resume the others: {retry}\n")
        output.flush()
        return ExitCode.REQUEUE
    for line in summary_lines(path, read_status(sweep)):
        print(line, flush=True)
    if unfinished := unfinished_text(path, outcomes):
        print(error_text(unfinished, sys.stderr), file=sys.stderr, flush=True)
        return ExitCode.FAILED
    return ExitCode.COMPLETE


def unfinished_text(sweep_path: str, outcomes: Sequence[Outcome]) -> str:
    """Which runs are not complete, and how to start them again, in one line; empty if all are complete.

    Args:
        sweep_path: The sweep's folder, as one would type it.
        outcomes: How each run ended.
    """
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
    return f"{what}; to start them again: simplexity retry {shlex.quote(sweep_path)}"


def outcome_text(outcome: Outcome, common: frozenset[str]) -> str:
    """A run's end in one line: `#2 training.batch_size=32: final loss 0.57120 nats, excess 0.00300`."""
    name = f"#{outcome.run.index} {describe(outcome.run.overrides, common)}"
    if outcome.state == RunState.COMPLETE:
        excess = f", excess {number(outcome.excess_nats)}" if outcome.excess_nats is not None else ""
        return f"{name}: final loss {number(outcome.loss_nats)} nats{excess}"
    return f"{name}: {outcome.state}" + (f": {printable(outcome.reason)}" if outcome.reason else "")


class PlainProgress:
    """A line when a run ends.

    Args:
        runs: The runs.
        common: Overrides that tell none of them apart.
    """

    def __init__(self, runs: Sequence[SweepRun], common: frozenset[str]):
        self._num_runs = len(runs)
        self._common = common
        self._complete = 0
        self._output = Output()

    def started(self, run: SweepRun) -> None:
        """Prints nothing: with hundreds of runs, a line for each end is enough."""

    def ended(self, outcome: Outcome) -> None:
        if outcome.state != RunState.STOPPED:
            self._complete += outcome.state == RunState.COMPLETE
            text = outcome_text(outcome, self._common)
            self._output.write(f"{self._complete}/{self._num_runs} complete: {text}\n")
            self._output.flush()

    def stopping(self) -> None:
        """Prints nothing: the guard says that a stop was requested."""

    def tick(self) -> None:
        """Does nothing: there is nothing to redraw."""

    def __enter__(self) -> "PlainProgress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._output.flush()


class LiveProgress:
    """The running runs in a table that is redrawn in place, and above it a line for each run that has ended.

    Args:
        sweep: The sweep.
        runs: The runs.
        common: Overrides that tell none of them apart.
    """

    def __init__(self, sweep: SweepDirectory, runs: Sequence[SweepRun], common: frozenset[str]):
        self._sweep = sweep
        self._num_runs = len(runs)
        self._common = common
        self._complete = self._failed = 0
        self._colour = wants_colour(sys.stdout)
        self._running: dict[int, SweepRun] = {}
        # Here and in `_styled`: every run imports this package, and only a sweep on a terminal draws.
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=cast(IO[str], Output()), highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._began = self._drawn = time.monotonic()

    def started(self, run: SweepRun) -> None:
        self._running[run.index] = run

    def ended(self, outcome: Outcome) -> None:
        self._running.pop(outcome.run.index, None)
        self._complete += outcome.state == RunState.COMPLETE
        failed = outcome.state in (RunState.FAILED, RunState.UNREADABLE)
        self._failed += failed
        text = outcome_text(outcome, self._common)
        self._console.print(_styled(red(text) if failed and self._colour else text), soft_wrap=True)

    def stopping(self) -> None:
        # The answer to Ctrl-C was written where the next picture is drawn.
        self._console.print("stopping: the runs save and exit, also after a second Ctrl-C")

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= _REFRESH_S:
            self._drawn = now
            self._live.update(_styled(self._picture(), no_wrap=True), refresh=True)

    def __enter__(self) -> "LiveProgress":
        self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.__exit__(None, None, None)

    def _picture(self) -> str:
        columns, lines = shutil.get_terminal_size()
        rows = [self._row(run) for run in list(self._running.values())[: lines - 4]]
        failed = f", {self._failed} failed" if self._failed else ""
        elapsed = duration(time.monotonic() - self._began)
        below = f"{self._complete}/{self._num_runs} complete{failed}, {len(self._running)} running, {elapsed}"
        header = ("run", "overrides", "step", "loss", "left")
        shown = table(header, by_columns(rows), columns, flexible=1, colour=self._colour)
        return "\n".join([*shown, below])

    def _row(self, run: SweepRun) -> tuple[str, ...]:
        status = run_status(self._sweep, run, read_run(self._sweep, run), SchedulerState(True))
        left = "" if status.time_left_s is None else duration(status.time_left_s)
        step = f"{status.step:,}/{run.num_train_steps:,}"
        return str(run.index), describe(run.overrides, self._common, short=True), step, number(status.loss_nats), left


def _styled(text: str, *, no_wrap: bool | None = None) -> Any:
    """Rich's text with the colours of `text`."""
    from rich.text import Text

    return Text.from_ansi(text, no_wrap=no_wrap)
