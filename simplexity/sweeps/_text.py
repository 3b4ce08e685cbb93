"""Numbers, names and paths as people read them, and tables of them."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from rich.cells import cell_len, set_cell_size

from simplexity.runs import bold, nats_text, red

_GAP = "  "
# In no printable text.
_SEPARATOR = "\x1f"
_PIECE = 256
ItemT = TypeVar("ItemT")
# Reads a cell as a number, such as -0.5, 1e-05 or 20/1,000; an empty one fits any column.
_read_number = re.compile(r"(?:[+-]*\d(?:.*\d)?)?", re.DOTALL).fullmatch
_FAILED = frozenset({"failed", "lost", "unreadable"})


def printable(text: str) -> str:
    """The text as one harmless line: an override may hold line breaks, and escapes that move the cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def display_path(path: Path) -> str:
    """The path as one would type it here: relative to the current folder if it lies within; never to the root."""
    current = Path.cwd()
    # From the root everything lies within, and tmp/run would read as a broken /tmp/run.
    return str(path.relative_to(current) if current.name and path.is_relative_to(current) else path)


def duration(seconds: float | int) -> str:
    """Two units at most: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    large, small, names = (minutes // 60, minutes % 60, ("h", "min"))
    if large >= 48:
        large, small, names = (large // 24, large % 24, ("d", "h"))
    return f"{large} {names[0]}" + (f" {small} {names[1]}" if small else "")


def describe(overrides: Sequence[str], common: frozenset[str] = frozenset(), *, short: bool = False) -> str:
    """A run's overrides in one line, without those that all runs have.

    Args:
        overrides: The run's.
        common: Those of all runs.
        short: Whether `learning_rate=0.01` may stand for `training.optimizer.instance.learning_rate=0.01`: where no
            other key of the run ends so.
    """
    shown = [override for override in overrides if override not in common] or list(overrides)
    if short:
        names = [override.partition("=")[0].rpartition(".")[2] for override in shown]
        shown = [
            override if names.count(name) > 1 else name + "".join(override.partition("=")[1:])
            for override, name in zip(shown, names, strict=True)
        ]
    return printable(" ".join(shown)) or "(no overrides)"


def listed(names: Sequence[str], most: int) -> str:
    """The names in one line, of which `most` stand there at most: `3, 7, 9 and 9,988 more`."""
    rest = len(names) - most
    if rest > 0:
        return f"{', '.join(names[:most])} and {rest:,} more"
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def number(value: float | int | None) -> str:
    """A loss as people read it; empty for None."""
    return "" if value is None else nats_text(value)


def wrapped(lines: Sequence[str], width: int | None) -> list[str]:
    """The lines, broken between words where the terminal is narrower; None for no limit."""
    if width is None:
        return list(lines)
    return [
        part for line in lines for part in textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)
    ]


def pieces(items: Iterable[ItemT]) -> Iterator[list[ItemT]]:
    """The items in lists, to make a table's columns of: by columns it takes a fraction of the time that cells take."""
    items = iter(items)
    while piece := list(islice(items, _PIECE)):
        yield piece


def by_columns(rows: Iterable[Sequence[str]]) -> Iterator[list[tuple[str, ...]]]:
    """Rows of cells as `table` takes them."""
    return (list(zip(*piece, strict=True)) for piece in pieces(rows))


def table(
    header: Sequence[str],
    columns: Iterable[Sequence[Sequence[str]]],
    width: int | None = None,
    flexible: int = 0,
    least: Sequence[int] = (),
    colour: bool = False,
) -> Iterator[str]:
    """Lines of aligned columns, the names first; what looks like a number stands to the right.

    Args:
        header: The columns' names.
        columns: The rows in pieces, see `pieces`, and each piece as its columns, as many as there are names.
        width: Columns of the terminal; None for as many as it takes.
        flexible: The column that gives way where the terminal is too narrow, when those of `least` are gone; then the
            last columns do.
        least: Columns that a narrow terminal does without, the first to go first.
        colour: Whether the names are bold, and rows of what has failed red.
    """
    sizes = [_length(name) for name in header]
    numeric = list(range(len(header)))
    # One text for each row, since the cells of a hundred thousand runs would take ten times the memory.
    joined: list[str] = []
    for piece in columns:
        text = "".join(chain.from_iterable(piece))
        if not text.isprintable():
            piece = [list(map(printable, column)) for column in piece]
        length = len if text.isascii() else _length
        sizes = [max(size, *map(length, column)) for size, column in zip(sizes, piece, strict=True)]
        numeric = [i for i in numeric if all(map(_read_number, piece[i]))]
        joined += map(_SEPARATOR.join, zip(*piece, strict=True))
    kept = list(range(len(sizes)))

    def excess() -> int:
        return 0 if width is None else sum(sizes[i] for i in kept) + len(_GAP) * (len(kept) - 1) - width

    for column in least:
        if excess() > 0:
            kept.remove(column)
    sizes[flexible] = max(min(12, sizes[flexible]), sizes[flexible] - max(0, excess()))
    plain = _GAP.join(f"%{size}s" if i in numeric else f"%-{size}s" for i, size in enumerate(sizes))

    def aligned(text: str) -> str:
        cells = text.split(_SEPARATOR)
        if width is None and text.isascii():
            return (plain % tuple(cells)).rstrip()
        line = _GAP.join(_fit(cells[i], sizes[i], i in numeric) for i in kept).rstrip()
        return line if width is None else set_cell_size(line, width).rstrip()

    names = aligned(_SEPARATOR.join(map(printable, header)))
    yield bold(names) if colour else names
    for text in joined:
        yield red(aligned(text)) if colour and not _FAILED.isdisjoint(text.split(_SEPARATOR)) else aligned(text)


def _length(cell: str) -> int:
    # Rich looks each text up in a cache, which a table of a hundred thousand runs overflows.
    return len(cell) if cell.isascii() else cell_len(cell)


def _fit(cell: str, width: int, at_right: bool) -> str:
    length = _length(cell)
    if length > width:
        # The end tells runs apart: the overrides that vary most come last.
        return "…" + set_cell_size(cell[::-1], width - 1)[::-1]
    padding = " " * (width - length)
    return padding + cell if at_right else cell + padding
