"""`simplexity results` in words, and as CSV."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from simplexity.runs import nats_text, optimum_text

from ._rows import Cell, override_names, short_names
from ._text import pieces, printable, table, wrapped


def write_csv(path: Path, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Writes a row for every run, with the columns' names first.

    Args:
        path: The file, replaced if it is there.
        rows: Those of `results_rows`.

    Raises:
        OSError: If the file cannot be written.
    """
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        write_csv_rows(file, rows)


def write_csv_rows(file: TextIO, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Writes what `write_csv` writes to an open file, such as standard output.

    Args:
        file: Opened with `newline=""`, where it is not standard output.
        rows: Those of `results_rows`.

    Raises:
        OSError: If it cannot be written to.
    """
    names = list(rows[0]) if rows else ["run"]
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([row[name] for name in names] for row in rows)


def results_lines(
    rows: Sequence[Mapping[str, Cell]], *, width: int | None = None, colour: bool = False
) -> Iterator[str]:
    """The table for people: the loss beside its optimum, what varies, and why runs have failed.

    Args:
        rows: The rows of `results_rows`.
        width: Columns of the terminal: the reasons then stand below the table, whole. None for no limit.
        colour: Whether the header is bold, and what has failed red.
    """
    if not rows:
        yield "no runs"
        return
    fixed = ["run", "state", "loss", "excess", "optimum"]
    first = rows[0]
    varied = [name for name in override_names(rows) if len(rows) == 1 or any(row[name] != first[name] for row in rows)]
    has_reason = width is None and any(row["reason"] for row in rows)
    analysed = [name for name in ("belief_r2",) if name in rows[0]]
    shown = [*fixed, *analysed, *varied, *(["reason"] if has_reason else [])]
    header = shown if width is None else short_names(shown)
    # Of the overrides, the longest gives way; without any, the state does, which is short enough.
    sizes = [0 if width is None else max(len(cell_text(row[name])) for row in rows) for name in varied]
    flexible = len(fixed) + len(analysed) + sizes.index(max(sizes)) if sizes else 1
    # Without errors, an optimum is a number as the others.
    optimum = "optimum" if "optimum_error" in first else ""
    columns = (
        [list(map(_optimum, piece)) if name == optimum else _texts(piece, name) for name in shown]
        for piece in pieces(rows)
    )
    yield from table(header, columns, width, flexible, least=[fixed.index("optimum")], colour=colour)
    if width is not None:
        reasons = [f"run {row['run']} {row['state']}: {printable(str(row['reason']))}" for row in rows if row["reason"]]
        yield from ["", *wrapped(reasons, width)] if reasons else []


def cell_text(value: Cell) -> str:
    """A cell as people read it."""
    return nats_text(value) if isinstance(value, float) else "" if value is None else str(value)


def _texts(rows: Sequence[Mapping[str, Cell]], name: str) -> list[str]:
    """The cells of a column as people read them."""
    return [cell if type(cell) is str else cell_text(cell) for cell in [row[name] for row in rows]]


def _optimum(row: Mapping[str, Cell]) -> str:
    optimum, error = row["optimum"], row.get("optimum_error")
    if not isinstance(optimum, int | float):
        return ""
    return optimum_text(optimum, error if isinstance(error, int | float) else None)
