"""A sweep's results as means and standard deviations over the runs that differ in one key alone, such as the seed."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

from ._results_text import cell_text
from ._rows import Cell, column_named, override_names, short_names
from ._run_status import RunState
from ._text import by_columns, table

# Bookkeeping of one run, which has no mean worth reading.
_OF_ONE_RUN = ("run", "state", "step", "reason")
_SHOWN = ("loss", "excess", "belief_r2")


def average_rows(rows: Sequence[Mapping[str, Cell]], key: str) -> list[dict[str, Cell]]:
    """A row for each set of runs whose overrides are equal but for `key`.

    Args:
        rows: Those of `results_rows`.
        key: The override that is averaged over, or its last part if no other column ends so.

    Returns:
        `runs` counts the runs of the set, and `complete` those of them that are complete: the numbers are over these.
        Then come the other overrides; each number's mean under its name; and `NAME_sd`, its standard deviation (with
        n - 1), which one run has none of.

    Raises:
        ValueError: If no run overrides the key.
    """
    if not rows:
        return []
    overrides = override_names(rows)
    key = column_named(overrides, key, "--over", "no run overrides {}; overridden are {}")
    kept = [name for name in overrides if name != key]
    numbers = [
        name
        for name in rows[0]
        if name not in (*_OF_ONE_RUN, *overrides) and any(isinstance(row[name], int | float) for row in rows)
    ]
    sets: dict[tuple[Cell, ...], list[Mapping[str, Cell]]] = {}
    for row in rows:
        sets.setdefault(tuple(row[name] for name in kept), []).append(row)
    return [dict(zip(kept, values, strict=True)) | _averages(runs, numbers) for values, runs in sets.items()]


def averages_lines(
    rows: Sequence[Mapping[str, Cell]], *, width: int | None = None, colour: bool = False
) -> Iterator[str]:
    """The table for people: what was overridden, the number of runs, and the results as mean ± standard deviation.

    Args:
        rows: The rows of `average_rows`.
        width: Columns of the terminal; None for no limit.
        colour: Whether the header is bold.
    """
    if not rows:
        yield "no runs"
        return
    kept = list(rows[0])[: list(rows[0]).index("runs")]
    varied = [name for name in kept if len(rows) == 1 or len({row[name] for row in rows}) > 1]
    shown = ["runs", "complete", *(name for name in _SHOWN if name in rows[0]), "optimum", *varied]
    cells = (
        [_with_deviation(row, name) if name in _SHOWN else cell_text(row.get(name)) for name in shown] for row in rows
    )
    header = shown if width is None else short_names(shown)
    yield from table(header, by_columns(cells), width, len(shown) - 1, least=[shown.index("optimum")], colour=colour)


def _averages(runs: Sequence[Mapping[str, Cell]], numbers: Sequence[str]) -> dict[str, Cell]:
    complete = [row for row in runs if row["state"] == RunState.COMPLETE.value]
    row: dict[str, Cell] = {"runs": len(runs), "complete": len(complete)}
    for name in numbers:
        values = [float(value) for one in complete if isinstance(value := one[name], int | float)]
        row[name] = statistics.fmean(values) if values else None
        row[f"{name}_sd"] = _standard_deviation(values)
    return row


def _standard_deviation(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    return statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


def _with_deviation(row: Mapping[str, Cell], name: str) -> str:
    mean, deviation = row[name], row[f"{name}_sd"]
    return cell_text(mean) if deviation is None else f"{cell_text(mean)} ± {cell_text(deviation)}"
