"""Watches a sweep from outside while it runs: is `status` right, and is a run ever executed twice at a time?

It looks at the same things as `simplexity status`, by its own means: squeue, the ledgers' lines, /proc.
"""

import contextlib
import json
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple, Self

from simplexity.sweeps import RunState, SweepDirectory, read_status


class Facts(NamedTuple):
    """What is true of a run at one moment."""

    complete: bool
    alive: bool
    restarts: int
    in_queue: str | None


class Witness(threading.Thread):
    """Samples until its `with` block ends; a sample during which the facts changed proves nothing and is left out.

    Attributes:
        problems: What was wrong; empty at the end of a good sweep.
        seen: How often each state was confirmed.
    """

    def __init__(self, sweep: SweepDirectory):
        super().__init__(daemon=True)
        self.problems: list[str] = []
        self.seen: Counter[RunState] = Counter()
        self._sweep = sweep
        self._folders = {run.index: sweep.path / run.directory for run in sweep.read_manifest().runs}
        self._stop_asked = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop_asked.set()
        self.join()

    def run(self) -> None:
        while not self._stop_asked.wait(1):
            try:
                self._sample()
            except Exception as error:
                self.problems.append(f"{type(error).__name__}: {error}")
                raise

    def _sample(self) -> None:
        before = self._facts()
        status = read_status(self._sweep)
        after = self._facts()
        for run in status.runs:
            index = run.run.index
            if before[index] != after[index]:
                continue
            allowed = expected_states(after[index])
            self.seen[run.state] += 1
            if run.state not in allowed or run.restarts != max(0, after[index].restarts):
                self.problems.append(f"run {index}: {run.state}, {run.restarts} restarts; but {after[index]}")

    def _facts(self) -> dict[int, Facts]:
        queue = self._queue()
        facts = {}
        for index, folder in self._folders.items():
            starts = [event for event in ledger(folder) if event["kind"] == "start"]
            alive = [event["pid"] for event in starts if is_alive(event["pid"])]
            if len(alive) > 1:
                self.problems.append(f"run {index} has {len(alive)} processes: {alive}")
            complete = (folder / "COMPLETE").exists()
            in_queue = None if queue is None else queue.get(index, "")
            facts[index] = Facts(complete, bool(alive) and not complete, len(starts) - 1, in_queue)
        return facts

    def _queue(self) -> dict[int, str] | None:
        """SLURM's word for each array task; None if it does not answer."""
        command = ["squeue", "--noheader", "--array", "--states=all", "--format=%K|%T"]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if answer.returncode != 0:
            return None
        lines = [line.split("|") for line in answer.stdout.split()]
        return {int(task): state for task, state in lines if task.isdigit()}


def expected_states(facts: Facts) -> set[RunState]:
    if facts.complete:
        return {RunState.COMPLETE}
    if facts.in_queue == "RUNNING":
        return {RunState.RUNNING}
    if facts.alive:
        # Cut off with its node, or about to leave.
        return {RunState.RUNNING, RunState.WAITING}
    if facts.in_queue is None:
        # A killed run of whose successor there is no record.
        return {RunState.PENDING} if facts.restarts < 0 else {RunState.WAITING, RunState.LOST}
    return {RunState.PENDING if facts.restarts < 0 else RunState.WAITING}


def ledger(folder: Path) -> list[dict]:
    path = folder / "run.jsonl"
    # What follows the last newline is being written.
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def is_alive(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"resume" in words and b"--sweep" in words


def intervals(folder: Path) -> list[tuple[float, float]]:
    """From the first to the last event of every process that wrote to a run's ledger, in the order of their starts."""
    times: dict[tuple[int, int], list[float]] = {}
    for event in ledger(folder):
        times.setdefault((event["pid"], event["slurm"]["restart_count"]), []).append(event["time"])
    return sorted((min(moments), max(moments)) for moments in times.values())


def wait_for_death(pid: int) -> None:
    """Gone, or a zombie where nothing reaps orphans."""
    deadline = time.monotonic() + 120
    with contextlib.suppress(OSError):
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
            assert time.monotonic() < deadline
            time.sleep(0.1)
