"""Rows of a table of runs, light enough for a hundred thousand; sorting them, and looking up their columns by name."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

Cell = str | int | float | None
RowT = TypeVar("RowT", bound=Mapping[str, Cell])


class Row(Mapping[str, Cell]):
    """A row of a table. Its columns are those of all its rows, so that they keep them only once.

    Args:
        places: The place of each column's value. It may grow while rows are made: a row has None in later columns.
        values: The values.
    """

    __slots__ = ("_places", "_values")

    def __init__(self, places: Mapping[str, int], values: tuple[Cell, ...]):
        self._places = places
        self._values = values

    def __getitem__(self, name: str) -> Cell:
        place = self._places[name]
        return self._values[place] if place < len(self._values) else None

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"Row({dict(self)})"


def sort_rows(rows: Sequence[RowT], key: str, *, descending: bool = False) -> list[RowT]:
    """Sorts by a column; rows without a value come last either way.

    Args:
        rows: The rows.
        key: The column's name, or its last part, such as `learning_rate`, if no other column ends so.
        descending: Whether the largest come first.

    Raises:
        ValueError: If there is no such column.
    """
    if not rows:
        return []
    key = column_named(list(rows[0]), key, "--sort", "there is no column {}; there are {}")
    values = [row for row in rows if _sort_key(row[key]) is not None]
    rest = [row for row in rows if _sort_key(row[key]) is None]
    return [*sorted(values, key=lambda row: _sort_key(row[key]) or (), reverse=descending), *rest]


def column_named(names: Sequence[str], key: str, option: str, otherwise: str) -> str:
    """The column of that name, or the only one whose last part it is.

    Args:
        names: The columns.
        key: What was typed.
        option: Where it was typed.
        otherwise: What is wrong if there is none, with a place for the key and one for the names.

    Raises:
        ValueError: If there is no such column.
    """
    full = [key] if key in names else [name for name in names if last_part(name) == key]
    if len(full) != 1:
        raise ValueError(f"`{option}`: {otherwise.format(key, ', '.join(names) or 'none')}")
    return full[0]


def override_names(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """The columns of overrides, which stand between the state and the step; none where there are no rows."""
    if not rows:
        return []
    names = list(rows[0])
    return names[names.index("state") + 1 : names.index("step")]


def last_part(name: str) -> str:
    """`learning_rate` of `training.optimizer.instance.learning_rate`."""
    return name.rpartition(".")[2]


def short_names(names: Sequence[str]) -> list[str]:
    """The last parts of columns' names; a name whose last part another one has too stays whole."""
    ends = [last_part(name) for name in names]
    return [name if ends.count(end) > 1 else end for name, end in zip(names, ends, strict=True)]


def _sort_key(value: Cell) -> tuple[int, float, str] | None:
    """Numbers before words; a number may be written as one."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError:
        return (1, 0.0, str(value))
    return None if math.isnan(number) else (0, number, "")
