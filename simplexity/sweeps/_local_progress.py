"""What a person sees while a sweep runs on this machine."""

import shutil
import time
from collections.abc import Sequence
from typing import IO, cast

from rich.console import Console

from simplexity.loggers import Output

from ._directory import SweepDirectory
from ._local import Outcome
from ._manifest import SweepRun
from ._run_status import Prospect, RunState, judge, read_run
from ._status_text import describe
from ._text import duration, number, printable, table

_REFRESH_S = 1.0


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
        """Says nothing: with hundreds of runs, their ends are lines enough."""

    def ended(self, outcome: Outcome) -> None:
        if outcome.state != RunState.STOPPED:
            self._complete += outcome.state == RunState.COMPLETE
            text = outcome_text(outcome, self._common)
            self._output.write(f"{self._complete}/{self._num_runs} complete: {text}\n")
            self._output.flush()

    def stopping(self) -> None:
        """Says nothing: what asks to stop has its own answer."""

    def tick(self) -> None:
        """Does nothing: there is nothing to redraw."""

    def __enter__(self) -> "PlainProgress":
        return self

    def __exit__(self, *exception: object) -> None:
        self._output.flush()


class LiveProgress:
    """The runs that are going on, redrawn in place, above them a line for each that has ended.

    Args:
        sweep: The sweep.
        runs: The runs.
        common: Overrides that tell none of them apart.
    """

    def __init__(self, sweep: SweepDirectory, runs: Sequence[SweepRun], common: frozenset[str]):
        from rich.live import Live

        self._sweep = sweep
        self._num_runs = len(runs)
        self._common = common
        self._complete = self._failed = 0
        self._running: dict[int, SweepRun] = {}
        self._console = Console(file=cast(IO[str], Output()), highlight=False, markup=False, emoji=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._began = self._drawn = time.monotonic()

    def started(self, run: SweepRun) -> None:
        self._running[run.index] = run

    def ended(self, outcome: Outcome) -> None:
        self._running.pop(outcome.run.index, None)
        self._complete += outcome.state == RunState.COMPLETE
        self._failed += outcome.state in (RunState.FAILED, RunState.UNREADABLE)
        self._console.print(outcome_text(outcome, self._common), soft_wrap=True)

    def stopping(self) -> None:
        # The answer to Ctrl-C was written where the next picture is drawn.
        self._console.print("stopping: the runs save; Ctrl-C again leaves at once, and they save all the same")

    def tick(self) -> None:
        now = time.monotonic()
        if now - self._drawn >= _REFRESH_S:
            self._drawn = now
            from rich.text import Text

            self._live.update(Text(self._picture(), no_wrap=True), refresh=True)

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
        return "\n".join([*table(("run", "overrides", "step", "loss", "left"), rows, columns, 1), below])

    def _row(self, run: SweepRun) -> tuple[str, ...]:
        status = judge(self._sweep, run, read_run(self._sweep, run), Prospect(True))
        left = "" if status.time_left_s is None else duration(status.time_left_s)
        step = f"{status.step:,}/{run.num_train_steps:,}"
        return str(run.index), describe(run.overrides, self._common, short=True), step, number(status.loss_nats), left
