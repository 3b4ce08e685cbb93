"""What is known of complete runs, kept in the sweep's folder: what is complete does not change.

To read the files of a hundred thousand runs takes minutes on a network file system. So the first look at a complete run
is kept as a line of JSON, with what its files looked like then: time, size and inode of COMPLETE, for instance. If they
look otherwise now, if the line is corrupt, which its checksum shows, or if the file cannot be written, the run's own
files are read as before.
"""

import json
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from sys import intern
from threading import Lock
from typing import Any
from zlib import crc32

from simplexity.runs import Completion, Goodput, RunDirectory

from ._manifest import SweepRun
from ._run_status import RunState, RunStatus

COMPLETE_NAME = RunDirectory(Path()).complete_path.name
_FORMAT = 3
_ZERO = 0.0
_decode = json.JSONDecoder().raw_decode
# New answers are written as soon as there are so many: those of a hundred thousand runs would take 50 MB.
_MOST_NEW = 2048


class KeptAnswers:
    """Answers about complete runs by index, each with the marks of the files that it was read from.

    Several threads may take answers and add some.

    Args:
        path: The file.
    """

    def __init__(self, path: Path):
        self._path = path
        # By index, as they stand in the file; of two lines of a run, the last.
        self._lines: dict[str, str] = {}
        self._new: list[str] = []
        self._lock = Lock()
        with suppress(OSError), open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                index, _, kept = line.partition(" ")
                self._lines[index] = kept

    def take(self, index: int, marks: str) -> Any:
        """The answer about a run whose files have these marks; None if it is not known.

        An answer can be taken once, so that it needs no memory beside what is made of it.
        """
        kept, _, checksum = self._lines.pop(str(index), "").rpartition("\t")
        if not kept.startswith(f"{marks}\t") or checksum != _checksum(index, kept):
            return None
        return _decode(kept, len(marks) + 1)[0]

    def add(self, index: int, marks: str, answer: Any) -> None:
        """Keeps an answer; the last ones that were added are written by `save`."""
        kept = f"{marks}\t{json.dumps(answer, separators=(',', ':'))}"
        with self._lock:
            self._new.append(f"{index} {kept}\t{_checksum(index, kept)}")
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


def _checksum(index: int, kept: str) -> str:
    """The end of a run's line: two computers that write to one network file system at once may mix their lines."""
    return f"{crc32(f'{index} {kept}'.encode(errors='replace')):08x}\n"


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


def answer_of(completion: Completion, status: RunStatus) -> list[Any]:
    """What to keep of a complete run, in values that JSON has: see `read_answer`."""
    return [
        status.node, status.reason, completion.step, status.step, status.saved_step, status.restarts,
        status.loss_nats, status.optimum_nats, status.optimum_error_nats, status.excess_nats,
        completion.time, *status.goodput,
    ]  # fmt: skip


def read_answer(run: SweepRun, answer: Any) -> RunStatus | None:
    """The status of a complete run, of what `answer_of` made; None if it is something else."""
    if type(answer) is not list or not _is_answer(tuple(map(type, answer))):
        return None
    node, reason, _, step, saved_step, restarts, loss, optimum, error, excess, complete_since, *spent = answer
    # The same object where numbers are equal: of a hundred thousand runs, each number takes 3 MB.
    last = run.num_train_steps
    return RunStatus(
        run=run,
        state=RunState.COMPLETE,
        step=last if step == last else step,
        steps_per_s=None,
        loss_nats=loss,
        optimum_nats=optimum,
        optimum_error_nats=error,
        excess_nats=excess,
        restarts=restarts,
        # The same object for all runs of a node, or with one remark.
        node=intern(node),
        time_left_s=None,
        reason=intern(reason),
        saved_step=last if saved_step == last else saved_step,
        goodput=Goodput._make([seconds or _ZERO for seconds in spent]),
        last_event=None,
        complete_since=complete_since,
    )


def completed_step(answer: Any) -> int | None:
    """The step at which a run is complete, of what `answer_of` made; None if it is something else."""
    return answer[2] if type(answer) is list and _is_answer(tuple(map(type, answer))) else None


@lru_cache
def _is_answer(types: tuple[type, ...]) -> bool:
    """Whether values of these types may be what `answer_of` made: of a hundred thousand runs, most have the same."""
    numbers, losses = {int, float}, {int, float, type(None)}
    return (
        len(types) == 11 + len(Goodput._fields)
        and types[:6] == (str, str, int, int, int, int)
        and losses.issuperset(types[6:10])
        and numbers.issuperset(types[10:])
    )
