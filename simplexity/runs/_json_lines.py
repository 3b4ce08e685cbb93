"""Append-only files of one JSON object per line, which a kill can leave with a torn end.

A line counts once its newline is on disk. What follows the last whole line (half a line, or the zero bytes that a
power failure leaves) was never promised to anybody: readers leave it out, and the next writer cuts it off.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ._durable import naming, sync_directory, write_all

_BLOCK_BYTES = 65536


def append_json_line(path: Path, record: Mapping[str, Any]) -> None:
    """Appends one line, and returns once it is on disk.

    Raises:
        OSError: If it cannot be written whole; then nothing of it stays in the file.
    """
    line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        with naming(path):
            try:
                write_all(descriptor, line)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if size == 0:
        sync_directory(path.parent)


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The file's whole lines, in order; a torn end is left out, and a file that is not there has none.

    Reading changes nothing, so it may go on while another process writes.

    Raises:
        RuntimeError: If a line that others follow is not a JSON object: no kill does that.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    parsed = [_parse(line) for line in lines]
    while parsed and parsed[-1] is None:
        parsed.pop()
    records = [record for record in parsed if record is not None]
    if len(records) < len(parsed):
        number = parsed.index(None) + 1
        raise RuntimeError(
            f"line {number} of {path} is not a JSON object; restore the file from a copy or remove the line"
        )
    return records


def repair_torn_tail(path: Path) -> int:
    """Cuts off what follows the last whole line. Only the process that holds the run's lock may call it.

    Returns:
        The number of bytes that were cut off; 0 for a sound file or none.
    """
    try:
        file = open(path, "r+b")  # noqa: SIM115  closed by the block below
    except FileNotFoundError:
        return 0
    with file:
        size = file.seek(0, os.SEEK_END)
        whole = _line_start(file, size)
        while whole > 0:
            start = _line_start(file, whole - 1)
            file.seek(start)
            if _parse(file.read(whole - start)) is not None:
                break
            whole = start
        if whole < size:
            file.truncate(whole)
            os.fsync(file.fileno())
        return size - whole


def _line_start(file: BinaryIO, end: int) -> int:
    """Where the line that holds the byte before `end` begins: after the last newline before `end`."""
    while end > 0:
        start = max(0, end - _BLOCK_BYTES)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
