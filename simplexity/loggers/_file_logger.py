"""Metrics to metrics.jsonl: the run's own record, without a gap or a double line after any number of kills."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from simplexity.runs import RunDirectory, open_to_append, reason, renew_json_lines

from ._logger import Logger, Metrics, RunFacts


class FileLogger(Logger):
    """Appends one JSON object per logged step to the run's metrics.jsonl: `{"step": 100, "loss": 0.57, ...}`.

    JSON has no NaN and no infinities: they are written as null, which pandas and polars read as missing.

    Each line is handed to the operating system as it is logged, so that a kill loses none, and `flush` puts them on
    disk. A resumed run first cuts off what was logged past its checkpoint, and keeps the rest byte for byte: no step
    is missing, doubled or out of order after any number of kills.

    Args:
        run_directory: The run's directory; supplied by the program.
        require_held: The lock's (`RunLock.require_held`), to raise if another process has taken over the run; supplied
            by the program.
    """

    def __init__(self, run_directory: Path, require_held: Callable[[], object] = lambda: None) -> None:
        self._path = RunDirectory(Path(run_directory)).metrics_path
        self._require_held = require_held
        self._file: BinaryIO | None = None
        # Of the last line: its step, and where it begins.
        self._last_step, self._last_start = -1, 0

    def start(self, facts: RunFacts) -> None:
        try:
            kept = renew_json_lines(
                self._path, keep=lambda record: record["step"] <= facts.start_step, require_held=self._require_held
            )
            self._file = os.fdopen(open_to_append(self._path), "ab")
        except OSError as error:
            raise self._cannot_write(error) from error
        # After opening: what is open now is what the next holder of the run renews.
        self._require_held()
        if kept:
            self._last_step, self._last_start = json.loads(kept[-1])["step"], sum(map(len, kept[:-1]))

    def log(self, step: int, metrics: Metrics) -> None:
        """Appends a line; the line of the same step, which a resumed run may log again, gives way.

        Raises:
            RuntimeError: If the file cannot be written.
        """
        file = self._open_file()
        line = json.dumps({"step": step} | {name: _as_json(value) for name, value in metrics.items()}, allow_nan=False)
        try:
            if step == self._last_step:
                file.truncate(self._last_start)
            self._last_step, self._last_start = step, file.seek(0, os.SEEK_END)
            file.write(line.encode() + b"\n")
            file.flush()
        except OSError as error:
            raise self._cannot_write(error) from error

    def progress(self, step: int) -> None:
        """Does nothing: the file has logged lines only."""

    def flush(self) -> None:
        try:
            os.fsync(self._open_file().fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def close(self) -> None:
        file, self._file = self._file, None
        try:
            if file is not None:
                with file:
                    os.fsync(file.fileno())
        except OSError as error:
            raise self._cannot_write(error) from error

    def _open_file(self) -> BinaryIO:
        if self._file is None:
            raise RuntimeError(f"metrics cannot be logged to `{self._path}` before `start` or after `close`")
        return self._file

    def _cannot_write(self, error: OSError) -> RuntimeError:
        return RuntimeError(f"metrics cannot be written to `{self._path}`: {reason(error)}")


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value if math.isfinite(value) else None
