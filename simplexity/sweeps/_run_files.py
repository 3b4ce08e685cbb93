"""The end of a file, without reading the rest."""

import json
import os
from pathlib import Path
from typing import Any

_FIRST_BYTES = 2048
_MOST_BYTES = 2**20


def last_lines(path: Path, count: int) -> list[bytes]:
    """The last `count` whole lines, oldest first; fewer if there are fewer, or if they are beyond all measure."""
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


def last_words(path: Path) -> str:
    """The last line of a log that is not blank; empty if there is none."""
    lines = (line.decode(errors="replace").strip() for line in reversed(last_lines(path, 20)))
    return next((line for line in lines if line), "")
