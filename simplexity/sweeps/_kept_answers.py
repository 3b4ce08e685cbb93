"""What is known of complete runs, kept in the sweep's folder: what is complete does not change.

To read the files of a hundred thousand runs takes minutes on a network file system. So the first look at a complete run
is kept as a line of JSON, with what its files looked like then: time, size and inode of COMPLETE, for instance. If they
look otherwise now, if the line is corrupt, or if the file cannot be written, the run's own files are read as before.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from simplexity.runs import Completion, Event, EventKind, Goodput, RunSummary

_FORMAT = 1


class KeptAnswers:
    """Answers about complete runs by index, each with the marks of the files that it was read from.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self._path = path
        self._lines: dict[int, bytes] = {}
        self._new: list[str] = []
        with suppress(OSError), open(path, "rb") as file:
            for line in file:
                # Parsed when it is asked for: the answers of a hundred thousand runs take ten times the memory.
                index, _, rest = line.partition(b" ")
                if index.isdigit():
                    self._lines[int(index)] = rest

    def get(self, index: int, marks: str) -> Any:
        """The answer about a run whose files have these marks, to be asked for once; None if it is not known."""
        kept = self._lines.pop(index, None)
        if kept is None or not kept.startswith(f"{marks}\t".encode()):
            return None
        try:
            return json.loads(kept[len(marks) + 1 :])
        except ValueError:
            return None

    def add(self, index: int, marks: str, answer: Any) -> None:
        """Keeps an answer, from the next `save` on."""
        self._new.append(f"{index} {marks}\t{json.dumps(answer, separators=(',', ':'))}\n")

    def save(self) -> None:
        """Appends the new answers in one write, so that two who do this mix no lines; nothing if it is not allowed."""
        if not self._new:
            return
        content = "".join(self._new).encode()
        self._new = []
        # Of another user's sweep, or on a full disk: the next look reads the runs' files again.
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                size = os.fstat(descriptor).st_size
                # What a write that was cut off has left must not become the beginning of the next line.
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                os.write(descriptor, b"\n" + content if torn else content)
            finally:
                os.close(descriptor)


def marks(config_hash: str, *paths: Path) -> str | None:
    """What tells whether files are still those that were read; None if the first of them is not there.

    Args:
        config_hash: The run's.
        *paths: The files.
    """
    found = [f"{_FORMAT}:{config_hash}"]
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            if len(found) == 1:
                return None
            found.append("-")
        else:
            found.append(f"{status.st_mtime_ns}:{status.st_size}:{status.st_ino}")
    return " ".join(found)


def answer_of(completion: Completion, summary: RunSummary) -> Any:
    """How a run ended and what its ledger adds up to, in values that JSON has."""
    event = summary.last_event
    where = None if event is None else [event.host, None if event.slurm is None else event.slurm._asdict()]
    return [completion, [*summary[:3], where, *summary[4:]]]


def read_answer(answer: Any) -> tuple[Completion, RunSummary] | None:
    """What `answer_of` made; None if it is something else. Of the last event it knows only where it happened."""
    try:
        completion, (attempts, last_step, saved_step, where, goodput, submission) = answer
        event = None if where is None else _completed_on(where[0], json.dumps(where[1]))
        summary = RunSummary(attempts, last_step, saved_step, event, Goodput(*_checked(goodput)), submission)
        return Completion(*_checked(completion)), summary
    except (TypeError, ValueError, LookupError):
        return None


@lru_cache(maxsize=1024)
def _completed_on(host: str, slurm: str) -> Event:
    """The same object for all runs of a job: a hundred thousand events would take as much memory as all else."""
    record = {
        "sequence": 0,
        "kind": EventKind.COMPLETE,
        "step": 0,
        "time": 0.0,
        "elapsed_s": 0.0,
        "host": host,
        "pid": 0,
    }
    return Event.from_json(record | {"slurm": json.loads(slurm)})


def _checked(values: Sequence[Any]) -> Sequence[Any]:
    if not all(isinstance(value, int | float | None) for value in values):
        raise ValueError(values)
    return values
