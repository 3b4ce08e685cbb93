"""What a worker of a sweep has done, in a file of its own: which runs it executes now, and how earlier ones ended."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from simplexity.runs import UnreadableError, append_json_line, naming, retry_read, sleep


class WorkerRecord:
    """A worker's file in `sweep/workers/`: a line when it begins a run, and a line when the run has ended.

    Several runs may have begun and not ended: those of a pack. A line when a process of the worker starts divides them
    from those that an earlier process had.

    The worker writes both. A line about its death is added by who started it: the process of a local sweep, or the
    batch script. Each reading begins where the last one ended.

    Args:
        path: The file; made at the first line.
        wait: Between tries to read it: see `retry_read`.
    """

    def __init__(self, path: Path, wait: Callable[[float], bool] = sleep):
        self._path, self._wait = path, wait
        self._offset = 0
        # A dict keeps their order.
        self._running: dict[int, None] = {}
        self._deaths: dict[int, list[str]] = {}

    def start(self) -> None:
        """A process of the worker starts. What an earlier one had begun and not ended was interrupted."""
        self._append({"pid": os.getpid()})

    def begin(self, index: int) -> None:
        """The worker begins the run of this index."""
        self._append({"run": index})

    def end(self, index: int, exit_code: int) -> None:
        """The run of this index has ended for this worker, as with an exit code of a process of its own."""
        self._append({"run": index, "exit_code": exit_code})

    def die(self, reason: str) -> None:
        """The worker's process has ended in the middle of its runs."""
        self._append({"died": reason})

    def read_new(self) -> Iterator[tuple[int, int | None]]:
        """The lines since the last call: a run's index, and its exit code, or None where it begins."""
        for line in self._new_lines():
            try:
                record: dict[str, Any] = json.loads(line)
            except ValueError:  # torn by a kill
                continue
            if "died" in record:
                for index in self._running:
                    self._deaths.setdefault(index, []).append(str(record["died"]))
                continue
            if "pid" in record:
                self._running = {}
                continue
            index, exit_code = record["run"], record.get("exit_code")
            if exit_code is None:
                self._running[index] = None
            else:
                self._running.pop(index, None)
            yield index, exit_code

    @property
    def running(self) -> tuple[int, ...]:
        """The indices of the runs that have begun and not ended, as of the last reading."""
        return tuple(self._running)

    def deaths(self, index: int) -> list[str]:
        """Why processes of the worker have ended in the middle of this run, where that is known."""
        return self._deaths.get(index, [])

    def _append(self, record: dict[str, Any]) -> None:
        self._path.parent.mkdir(exist_ok=True)
        append_json_line(self._path, record)

    def _new_lines(self) -> list[bytes]:
        try:
            content = retry_read(self._read_on, self._wait)
        except FileNotFoundError:
            return []
        # What follows the last newline is being written.
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()

    def _read_on(self) -> bytes:
        with naming(self._path), open(self._path, "rb") as file:
            file.seek(self._offset)
            return file.read()


def known_deaths(folder: Path, submission: str, index: int) -> list[str]:
    """Why workers of a submission have ended in the middle of a run, whoever had it.

    Args:
        folder: Of the workers' records.
        submission: Its name, which begins those of its workers.
        index: The run's.
    """
    deaths: list[str] = []
    for path in sorted(folder.glob(f"{submission}_*.jsonl")):
        # What is known of one worker is said even if the record of another cannot be read. That is not tried again:
        # the run's lock is held meanwhile.
        with suppress(OSError, UnreadableError):
            record = WorkerRecord(path, wait=lambda pause_s: True)
            for _ in record.read_new():
                pass
            deaths += record.deaths(index)
    return deaths
