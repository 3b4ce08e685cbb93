"""Append-only files of one JSON object per line, which a kill can leave with a torn end.

A line counts once its newline is on disk. What follows the last whole line (half a line, or the zero bytes that a
power failure leaves) was never reported as written: readers leave it out, and so does `renew_json_lines`, with which
a writer begins.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from ._reading import naming, read_file, retry_read, sleep
from ._writing import sync_directory, write_all, write_durably

_PIECE_BYTES = 2**16


def append_json_line(path: Path, record: Mapping[str, Any], require_held: Callable[[], object] = lambda: None) -> None:
    """Appends one line, and returns once it is on disk.

    Args:
        path: The file, made if it is missing.
        record: The line.
        require_held: As in `write_durably`.

    Raises:
        OSError: If it cannot be written whole; then nothing of it stays in the file.
    """
    append_json_lines(path, [record], require_held)


def append_json_lines(
    path: Path, records: Iterable[Mapping[str, Any]], require_held: Callable[[], object] = lambda: None
) -> None:
    """Appends lines, and returns once they are on disk.

    Args:
        path: The file, made if it is missing.
        records: The lines.
        require_held: As in `write_durably`.

    Raises:
        OSError: If they cannot be written whole; then nothing of them stays in the file.
    """
    content = "".join(map(json_line, records)).encode()
    descriptor = open_to_append(path)
    try:
        # After opening: who takes over later renews the file that is open here, and never sees the line.
        require_held()
        size = os.fstat(descriptor).st_size
        with naming(path):
            try:
                write_all(descriptor, content)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if size == 0:
        sync_directory(path.parent)


def json_line(record: Mapping[str, Any]) -> str:
    """A record as a line of such a file."""
    return json.dumps(record, separators=(",", ":")) + "\n"


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """The file's whole lines, in order; a torn end is left out, and a file that is not there has none.

    Reading changes nothing, so it is safe while another process writes.

    Raises:
        RuntimeError: If a line that others follow is not a JSON object: no kill does that.
    """
    try:
        return _records(path, read_file(path))
    except FileNotFoundError:
        return []


def iter_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The same, one at a time, of a file that is there: a hundred thousand records take hundreds of megabytes.

    Raises:
        RuntimeError: If a line that others follow is not a JSON object.
    """
    torn = 0
    with naming(path), open(path, "rb") as file:
        pieces = iter(lambda: file.readlines(_PIECE_BYTES), [])
        for number, record in enumerate(chain.from_iterable(map(_parse_all, pieces)), start=1):
            if record is None:
                torn = torn or number
            elif torn:
                raise _corrupt(path, torn)
            else:
                yield record


def _records(path: Path, content: bytes) -> list[dict[str, Any]]:
    lines = content.split(b"\n")[:-1]
    parsed = [_parse(line) for line in lines]
    while parsed and parsed[-1] is None:
        parsed.pop()
    records = [record for record in parsed if record is not None]
    if len(records) < len(parsed):
        raise _corrupt(path, parsed.index(None) + 1)
    return records


def _corrupt(path: Path, number: int) -> RuntimeError:
    return RuntimeError(
        f"line {number} of {path} is not a JSON object; restore the file from a copy or remove the line"
    )


def renew_json_lines(
    path: Path,
    *,
    keep: Callable[[dict[str, Any]], bool] = lambda record: True,
    require_held: Callable[[], object] = lambda: None,
    wait: Callable[[float], bool] = sleep,
) -> list[bytes]:
    """Puts the file's whole lines into a new file, which takes its name; a file that is not there stays so.

    The new holder of a run's lock does this before it appends. A former holder that was only frozen, and that has the
    file open still, then writes into the old file, which has no name any more.

    Args:
        path: The file.
        keep: Called with each record in turn; the first for which it is false and all after it are left out.
        require_held: As in `write_durably`.
        wait: As in `retry_read`, by which the file is read.

    Returns:
        The lines that are in the file now.

    Raises:
        OSError: If the file cannot be written; then it is as it was.
        RuntimeError: If it cannot be read, or a line that others follow is not a JSON object.
    """
    try:
        content = retry_read(lambda: read_file(path), wait)
    except FileNotFoundError:
        return []
    records = _records(path, content)
    num_kept = next((i for i, record in enumerate(records) if not keep(record)), len(records))
    kept = [line + b"\n" for line in content.split(b"\n")[:num_kept]]
    write_durably(path, b"".join(kept), require_held)
    return kept


def open_to_append(path: Path) -> int:
    """A descriptor of the file, made if it is missing; of no file behind a symbolic link.

    Raises:
        OSError: If it cannot be opened.
    """
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)


def _parse_all(lines: list[bytes]) -> list[dict[str, Any] | None]:
    """The record of each line, None for one that is not whole: as one JSON list where all are, in half the time."""
    if all(line.startswith(b"{") and line.endswith(b"}\n") for line in lines):
        with suppress(ValueError):
            # A zero between them shows that each record is one line, whole.
            records = json.loads(b"[" + b",0,".join(lines) + b"]")
            if len(records) == 2 * len(lines) - 1 and not any(records[1::2]):
                return records[::2]
    return [_parse(line) if line.endswith(b"\n") else None for line in lines]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
