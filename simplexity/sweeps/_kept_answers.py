"""What is known of complete runs, kept in the sweep's folder: what is complete does not change.

To read the files of a hundred thousand runs takes minutes on a network file system. So the first look at a complete run
is kept as a line of JSON, with what its files looked like then: time, size and inode of COMPLETE, for instance. If they
look otherwise now, if the line is corrupt, or if the file cannot be written, the run's own files are read as before.
"""

import json
import os
from array import array
from contextlib import suppress
from pathlib import Path
from sys import intern
from threading import Lock, local
from typing import Any

from simplexity.runs import Completion, Goodput, RunDirectory, RunSummary

from ._manifest import SweepRun
from ._run_status import RunState, RunStatus

COMPLETE_NAME = RunDirectory(Path()).complete_path.name
_FORMAT = 1
# A higher index is no run's: the line is corrupt.
_MOST_RUNS = 10_000_000
_ZERO = 0.0
_NUMBERS = frozenset({int, float, bool, type(None)})
_decode = json.JSONDecoder().raw_decode
# A hundred answers, which mostly stand in the order in which they are asked for.
_BYTES = 2**14
# New answers are written as soon as there are so many: those of a hundred thousand runs would take 50 MB.
_MOST_NEW = 2048


class KeptAnswers:
    """Answers about complete runs by index, each with the marks of the files that it was read from.

    To be used in a `with` block, at whose end the file is closed. Several threads may ask for answers and add some.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self._path = path
        # Where the answer begins, by index, or -1. The lines of a hundred thousand runs would take 40 MB.
        self._places = array("q")
        self._new: list[str] = []
        self._lock = Lock()
        self._near = _Near()
        self._file = None
        with suppress(OSError):
            self._file = open(path, "rb")  # noqa: SIM115  the `with` block's end closes it
            place = 0
            for line in self._file:
                index, _, _ = line.partition(b" ")
                if index.isdigit() and (number := int(index)) < _MOST_RUNS:
                    self._places.extend([-1] * (number + 1 - len(self._places)))
                    self._places[number] = place + len(index) + 1
                place += len(line)

    def __enter__(self) -> "KeptAnswers":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def get(self, index: int, marks: str) -> Any:
        """The answer about a run whose files have these marks; None if it is not known."""
        place = self._places[index] if index < len(self._places) else -1
        kept = b"" if place < 0 else self._line_at(place)
        if not kept.startswith(f"{marks}\t".encode()):
            return None
        try:
            return _decode(kept[len(marks) + 1 :].decode())[0]
        except ValueError:
            return None

    def add(self, index: int, marks: str, answer: Any) -> None:
        """Keeps an answer; the last ones that were added are written by `save`."""
        line = f"{index} {marks}\t{json.dumps(answer, separators=(',', ':'))}\n"
        with self._lock:
            self._new.append(line)
            if len(self._new) == _MOST_NEW:
                self._write_new()

    def save(self) -> None:
        """Appends the new answers to the file, if that is allowed."""
        with self._lock:
            self._write_new()

    def _write_new(self) -> None:
        if not self._new:
            return
        content = "".join(self._new).encode()
        self._new = []
        # Of another user's sweep, or on a full disk: the next look reads the runs' files again.
        with suppress(OSError):
            # Not behind a symbolic link, by which others could have the file of whoever looks changed.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o644)
            try:
                # One write, so that two who do this mix no lines.
                size = os.fstat(descriptor).st_size
                # What a write that was cut off has left must not become the beginning of the next line.
                torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
                os.write(descriptor, b"\n" + content if torn else content)
            finally:
                os.close(descriptor)

    def _line_at(self, place: int) -> bytes:
        """What stands in the file from a place to the end of the line; nothing if it cannot be read."""
        near = self._near
        begin = place - near.place
        end = near.content.find(b"\n", begin) if 0 <= begin < len(near.content) else -1
        if end >= 0:
            return near.content[begin:end]
        length, read = _BYTES, b""
        try:
            while self._file is not None:
                # Not by seeking, since several threads read.
                read = os.pread(self._file.fileno(), length, place)
                if b"\n" in read or len(read) < length:
                    break
                length *= 8
        except OSError:
            return b""
        near.place, near.content = place, read
        return read.partition(b"\n")[0]


class _Near(local):
    """What a thread has read of the file last, and where in the file it begins."""

    place, content = 0, b""


def marks(version: str, path: str | Path) -> str | None:
    """What tells whether a run's file is still the one that was read; None if it is not there.

    Args:
        version: Which of the runs that this folder may have had.
        path: The file.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return f"{_FORMAT}:{version} {status.st_mtime_ns}:{status.st_size}:{status.st_ino}"


def marks_of_absence(version: str) -> str:
    """What tells that a run had no such file: for `marks` that are None."""
    return f"{_FORMAT}:{version} -"


def answer_of(completion: Completion, summary: RunSummary) -> Any:
    """How a run ended and what its ledger adds up to, in values that JSON has."""
    event = summary.last_event
    where = None if event is None else [event.host, None if event.slurm is None else event.slurm._asdict()]
    return [completion, [*summary[:3], where, *summary[4:]]]


def read_answer(run: SweepRun, answer: Any) -> RunStatus | None:
    """The status of a complete run, of what `answer_of` made; None if it is something else."""
    try:
        values, (attempts, step, saved_step, where, goodput, _) = answer
        if not _NUMBERS.issuperset(map(type, (*values, step, saved_step, *goodput))):
            return None
        completion = Completion(*values)
        host, slurm = where or ("", None)
        # The same object where numbers are equal: of a hundred thousand runs, each number takes 3 MB.
        last = run.num_train_steps
        step, saved_step = last if step == last else step, last if saved_step == last else saved_step
        return RunStatus(
            run=run,
            state=RunState.COMPLETE,
            step=step,
            steps_per_s=None,
            loss_nats=completion.loss_nats,
            optimum_nats=completion.optimum_nats,
            optimum_error_nats=completion.optimum_error_nats,
            excess_nats=completion.excess_nats,
            restarts=max(0, attempts - 1),
            # The same object for all runs of a node.
            node=intern((slurm and slurm["node"]) or host),
            time_left_s=None,
            reason="",
            saved_step=saved_step,
            goodput=Goodput._make([number or _ZERO for number in goodput[:-1]] + goodput[-1:]),
            last_event=None,
            complete_since=completion.time,
        )
    except (TypeError, ValueError, LookupError):
        return None


def completed_step(answer: Any) -> int | None:
    """The step at which a run is complete, of what `answer_of` made; None if it is something else."""
    try:
        step = answer[0][0]
    except (TypeError, LookupError):
        return None
    return step if isinstance(step, int) else None
