"""What a worker of a sweep has done, in a file of its own: which run it executes now, and how earlier ones ended."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simplexity.runs import append_json_line


class WorkerRecord:
    """A worker's file in `sweep/workers/`: a line when it begins a run, and a line when the run has ended.

    The worker writes both. A line about its death is added by who started it: the process of a local sweep, or the
    batch script. Each reading begins where the last one ended.

    Args:
        path: The file; made at the first line.
    """

    def __init__(self, path: Path):
        self._path = path
        self._offset = 0
        self._index: int | None = None
        self._death = ""

    def begin(self, index: int) -> None:
        """The worker begins the run of this index."""
        self._append({"run": index})

    def end(self, index: int, exit_code: int) -> None:
        """The run of this index has ended for this worker, as with an exit code of a process of its own."""
        self._append({"run": index, "exit_code": exit_code})

    def die(self, reason: str) -> None:
        """The worker's process has ended in the middle of a run."""
        self._append({"died": reason})

    def read_new(self) -> Iterator[tuple[int, int | None]]:
        """The lines since the last call: a run's index, and its exit code, or None where it begins."""
        for line in self._new_lines():
            try:
                record: dict[str, Any] = json.loads(line)
            except ValueError:  # torn by a kill
                continue
            if "died" in record:
                self._death = str(record["died"])
                continue
            index, exit_code = record["run"], record.get("exit_code")
            if index != self._index:
                self._death = ""
            self._index = index if exit_code is None else None
            yield index, exit_code

    @property
    def current(self) -> int | None:
        """The index of the run that has begun and not ended, as of the last reading."""
        return self._index

    @property
    def death(self) -> str:
        """Why the worker's process ended in the middle of its last run; empty if that is unknown."""
        return self._death

    def _append(self, record: dict[str, Any]) -> None:
        self._path.parent.mkdir(exist_ok=True)
        append_json_line(self._path, record)

    def _new_lines(self) -> list[bytes]:
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return []
        # What follows the last newline is being written.
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()
