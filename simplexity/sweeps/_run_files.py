"""What the files of a run say; of those that grow, only the ends are read."""

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simplexity.runs import (
    Completion,
    Event,
    EventKind,
    ExitCode,
    RunDirectory,
    RunSummary,
    is_alive,
    is_there,
    read_ledger,
    summarize,
)

from ._directory import SweepDirectory
from ._look_up import no_run_problem
from ._manifest import SweepRun

_FIRST_BYTES = 2048
_SRUN_EXIT = re.compile(r"srun: error: .*: tasks? [\d,\[\]-]+: Exited with exit code \d+$")
_MOST_BYTES = 2**20
# Exit codes above it are those of a process that a signal has ended.
_KILLED = 128


class RunFiles(NamedTuple):
    """What a run's directory says.

    Attributes:
        completion: How it ended; None if it has not.
        summary: What its ledger adds up to.
        metrics: The last two records of metrics.jsonl.
        alive: Whether a process has it now.
        exit_code: Of the last batch script; None if it runs, was to come back, or was ended by SLURM.
        unreadable: One line on what cannot be read; empty if all can. Then the other fields say nothing.
    """

    completion: Completion | None = None
    summary: RunSummary = summarize([])
    metrics: list[dict[str, Any]] = []  # noqa: RUF012  of a tuple
    alive: bool = False
    exit_code: int | None = None
    unreadable: str = ""


def read_run(sweep: SweepDirectory, run: SweepRun) -> RunFiles:
    """As `read_files`, but a failure becomes words: one run that cannot be read does not hide the others."""
    try:
        return read_files(sweep, run)
    except (RuntimeError, ValueError, OSError) as error:
        return RunFiles(unreadable=reading_failure(error))


def read_files(sweep: SweepDirectory, run: SweepRun) -> RunFiles:
    """Reads a run's files; only the ends of those that grow.

    Raises:
        OSError: If one cannot be read, which may pass.
        RuntimeError: If one is corrupt.
    """
    directory = sweep.run_directory(run)
    completion = directory.read_completion()
    if completion is not None:
        return RunFiles(completion, summarize(read_ledger(directory.ledger_path)))
    metrics = last_records(directory.metrics_path, 2)
    if not all(map(is_metrics, metrics)):
        raise RuntimeError(f"the last lines of {directory.metrics_path} were not written by a run")
    return RunFiles(
        None,
        summarize(with_progress(read_ledger(directory.ledger_path), metrics[-1:])),
        metrics,
        is_alive(directory.lock_path),
        exit_code(sweep.exit_code_path(run.index)),
    )


def read_events(directory: RunDirectory) -> list[Event]:
    """The ledger of a run that a command names.

    Raises:
        ValueError: If there is no run.
        RuntimeError: If its ledger cannot be read.
    """
    if not is_there(directory.config_path):
        raise ValueError(f"`{directory.path}`: {no_run_problem(directory.path)}")
    return read_ledger(directory.ledger_path)


def with_progress(events: Sequence[Event], metrics: Sequence[dict[str, Any]]) -> list[Event]:
    """A ledger's events, and behind them one for the time between the last of them and the last logged line.

    Between two saves nothing is added to the ledger. The line has the same host's clock as the attempt's events.

    Args:
        events: The ledger.
        metrics: The last record of metrics.jsonl; nothing if there is none.
    """
    training = (EventKind.RESUME, EventKind.FIRST_STEP, EventKind.CHECKPOINT)
    if not events or not metrics or events[-1].kind not in training:
        return list(events)
    last, line = events[-1], metrics[-1]
    seconds = line.get("timestamp", 0.0) - last.time
    if seconds <= 0 or line["step"] < last.step:
        return list(events)
    spent = last.seconds._replace(computing=last.seconds.computing + seconds)
    now = last._replace(
        sequence=last.sequence + 1,
        kind=EventKind.FIRST_STEP,
        step=line["step"],
        time=line["timestamp"],
        elapsed_s=last.elapsed_s + seconds,
        seconds=spent,
        reason=None,
        stopping_s=None,
    )
    return [*events, now]


def reading_failure(error: Exception) -> str:
    """Why a run's file cannot be read, in one line that names the file."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__


def is_metrics(record: dict[str, Any]) -> bool:
    """Whether a line of metrics.jsonl has the numbers that a run writes."""
    # A loss that is not finite is written as null.
    losses = (record.get(name) for name in ("loss", "optimum", "optimum_error", "excess"))
    clocks = (record.get(name, 0.0) for name in ("time_s", "timestamp"))
    return (
        isinstance(record.get("step"), int)
        and all(isinstance(loss, int | float | None) for loss in losses)
        and all(isinstance(clock, int | float) for clock in clocks)
    )


def exit_code(path: Path) -> int | None:
    """What the last batch script has left in its file, which is empty on a full disk; None if there is no file."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else ExitCode.FAILED


def has_failed(code: int | None) -> bool:
    """Whether a batch script ended with an error, and not with a run that was stopped or killed."""
    return code is not None and code not in (ExitCode.COMPLETE, ExitCode.REQUEUE) and code <= _KILLED


def last_lines(path: Path, count: int) -> list[bytes]:
    """The last whole lines of a file, oldest first, without its beginning being read.

    Args:
        path: The file. What follows its last newline is being written, and is left out.
        count: How many lines to return.

    Returns:
        The lines without their newlines. Fewer if there are fewer, or if so many are longer than 2 MB together;
        none if there is no file.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            length = _FIRST_BYTES
            while True:
                start = max(0, size - length)
                file.seek(start)
                # What follows the last newline is being written.
                lines = file.read(size - start).split(b"\n")[:-1]
                # Unless the file's start was reached, the first line may have lost its beginning.
                whole = lines if start == 0 else lines[1:]
                if len(whole) >= count or start == 0 or length >= _MOST_BYTES:
                    return whole[-count:]
                length *= 4
    except FileNotFoundError:
        return []


def last_records(path: Path, count: int) -> list[dict[str, Any]]:
    """The last JSON objects of a file with one on each line; lines that are none are left out."""
    records = []
    for line in last_lines(path, count):
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return [record for record in records if isinstance(record, dict)]


def last_printed(path: Path) -> str:
    """The last line of a log that says something; empty if there is none, or it cannot be read: words for people."""
    try:
        lines = [line.decode(errors="replace").strip() for line in reversed(last_lines(path, 20))]
    except OSError:
        return ""
    lines = [line for line in lines if line]
    # srun's line on the exit code comes last and says nothing of the cause, which the process has printed before it.
    return next((line for line in lines if not _SRUN_EXIT.match(line)), lines[0] if lines else "")
