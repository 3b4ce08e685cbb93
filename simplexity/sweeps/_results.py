"""A sweep's results: overrides against final metrics."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from simplexity.runs import nats_text, optimum_text

from ._directory import SweepDirectory
from ._kept_answers import KeptAnswers, marks
from ._run_files import last_records, reading_failure
from ._run_status import RunState, RunStatus
from ._sweep_status import SweepStatus
from ._text import printable, table, wrapped

# Bookkeeping of the metrics, no results.
_NO_RESULTS = ("step", "timestamp")

Cell = str | int | float | None


def results_rows(sweep: SweepDirectory, status: SweepStatus) -> list[dict[str, Cell]]:
    """A row for every run: `run`, `state`, a column for every key that any of them overrides, the results, `reason`.

    Of a complete run, `loss`, `optimum` and `excess` are the final ones, of the validation if there was one; behind
    them come the numbers that were logged last, and those of the last analysis: the R² of the layer with the greatest,
    its controls, and what the user's own functions have returned.
    """
    overrides = [_split(run.run.overrides) for run in status.runs]
    keys = list(dict.fromkeys(key for pairs in overrides for key in pairs))
    kept = KeptAnswers(sweep.results_path)
    rows = [
        _row(sweep, kept, run, {key: pairs.get(key) for key in keys})
        for run, pairs in zip(status.runs, overrides, strict=True)
    ]
    kept.save()
    names = list(dict.fromkeys(name for row in rows for name in row if name != "reason"))
    return [{name: row.get(name) for name in [*names, "reason"]} for row in rows]


def sort_rows(rows: Sequence[dict[str, Cell]], key: str, *, descending: bool = False) -> list[dict[str, Cell]]:
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
    values = [row for row in rows if _order(row[key]) is not None]
    rest = [row for row in rows if _order(row[key]) is None]
    return [*sorted(values, key=lambda row: _order(row[key]) or (), reverse=descending), *rest]


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
    full = [key] if key in names else [name for name in names if _last_part(name) == key]
    if len(full) != 1:
        raise ValueError(f"`{option}`: {otherwise.format(key, ', '.join(names) or 'none')}")
    return full[0]


def override_names(rows: Sequence[Mapping[str, Cell]]) -> list[str]:
    """The columns of overrides, which stand between the state and the step."""
    names = list(rows[0])
    return names[names.index("state") + 1 : names.index("step")]


def write_csv(path: Path, rows: Sequence[dict[str, Cell]]) -> None:
    """Writes a row for every run, with the columns' names first.

    Raises:
        OSError: If the file cannot be written.
    """
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        write_csv_rows(file, rows)


def write_csv_rows(file: TextIO, rows: Sequence[dict[str, Cell]]) -> None:
    """Writes the same to an open file, such as standard output."""
    writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["run"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def results_text(rows: Sequence[dict[str, Cell]], *, width: int | None = None, colour: bool = False) -> str:
    """The table for people: the loss beside its optimum, what varies, and why runs have failed.

    Args:
        rows: The rows of `results_rows`.
        width: Columns of the terminal: the reasons then stand below the table, whole. None for no limit.
        colour: Whether the header is bold, and what has failed red.
    """
    if not rows:
        return "no runs"
    fixed = ["run", "state", "loss", "excess", "optimum"]
    varied = [name for name in override_names(rows) if len(rows) == 1 or len({row[name] for row in rows}) > 1]
    has_reason = width is None and any(row["reason"] for row in rows)
    analysed = [name for name in ("belief_r2",) if name in rows[0]]
    shown = [*fixed, *analysed, *varied, *(["reason"] if has_reason else [])]
    cells = [[_optimum(row) if name == "optimum" else cell_text(row[name]) for name in shown] for row in rows]
    ends = [_last_part(name) for name in shown]
    short = [name if width is None or ends.count(end) > 1 else end for name, end in zip(shown, ends, strict=True)]
    # Of the overrides, the longest gives way; without any, the state does, which is short enough.
    first = len(fixed) + len(analysed)
    sizes = [max(len(row[i]) for row in cells) for i in range(first, first + len(varied))]
    flexible = first + sizes.index(max(sizes)) if sizes else 1
    lines = table(short, cells, width, flexible, least=[fixed.index("optimum")], colour=colour)
    if width is not None:
        reasons = [f"run {row['run']} {row['state']}: {printable(str(row['reason']))}" for row in rows if row["reason"]]
        lines += ["", *wrapped(reasons, width)] if reasons else []
    return "\n".join(lines)


def cell_text(value: Cell) -> str:
    """A cell as people read it."""
    return nats_text(value) if isinstance(value, float) else "" if value is None else str(value)


def _row(
    sweep: SweepDirectory, kept: KeptAnswers, status: RunStatus, overrides: dict[str, str | None]
) -> dict[str, Cell]:
    logged, analysed, reason = _numbers(sweep, kept, status)
    row: dict[str, Cell] = {"run": status.run.index, "state": status.state.value, **overrides, "step": status.step}
    row |= {"loss": status.loss_nats, "optimum": status.optimum_nats, "excess": status.excess_nats}
    if status.optimum_error_nats is not None:
        row["optimum_error"] = status.optimum_error_nats
    # A training loss stands for itself beside a validation's.
    renamed = {
        f"training_{name}" if name in row else name: value for name, value in logged.items() if name not in _NO_RESULTS
    }
    row |= {name: value for name, value in renamed.items() if isinstance(value, int | float)}
    return row | analysed | {"reason": reason}


def _numbers(
    sweep: SweepDirectory, kept: KeptAnswers, status: RunStatus
) -> tuple[dict[str, Any], dict[str, Cell], str]:
    """What a run has logged last, what it has analysed last, and why it is not running."""
    directory = sweep.run_directory(status.run)
    seen = None
    if status.state == RunState.COMPLETE:
        # An analysis may be made again, of a complete run too.
        seen = marks(status.run.config_hash, directory.complete_path, directory.analysis_path)
    answer = None if seen is None else kept.get(status.run.index, seen)
    if isinstance(answer, list) and len(answer) == 2 and all(isinstance(part, dict) for part in answer):
        return answer[0], answer[1], status.reason
    logged, reason = _last_logged(sweep, status)
    analysed = {} if status.state == RunState.UNREADABLE else _last_analysis(directory.analysis_path)
    # An analysis without numbers may be one that could not be read just now.
    if seen is not None and not reason and (analysed or seen.endswith(" -")):
        kept.add(status.run.index, seen, [logged, analysed])
    return logged, analysed, reason


def _last_logged(sweep: SweepDirectory, status: RunStatus) -> tuple[dict[str, Any], str]:
    """The last line of a run's metrics, and why it is not running, or has no line that can be read."""
    if status.state == RunState.UNREADABLE:
        return {}, status.reason
    try:
        lines = last_records(sweep.run_directory(status.run).metrics_path, 1)
    except OSError as error:
        return {}, status.reason or reading_failure(error)
    return (lines[0] if lines else {}), status.reason


def _last_analysis(path: Path) -> dict[str, Cell]:
    """The numbers of the last line of a run's analysis.jsonl; none if it has no such line that can be read."""
    try:
        lines = last_records(path, 1)
    except OSError:
        return {}
    line = lines[0] if lines else {}
    best, functions = line.get("best"), line.get("functions")
    cells: dict[str, Cell] = {}
    if isinstance(best, dict):
        cells = {f"belief_{name}": best.get(name) for name in ("r2", "r2_shuffled", "r2_untrained", "r2_next_token")}
        cells |= {"belief_layer": best.get("features")}
    targets = line.get("targets")
    for target, found in targets.items() if isinstance(targets, dict) else ():
        cells[f"belief_r2.{target}"] = (found["best"] or {}).get("r2")
    for function, results in functions.items() if isinstance(functions, dict) else ():
        cells |= {f"{function}.{name}": value for name, value in results.items() if not isinstance(value, list)}
    return cells


def _last_part(name: str) -> str:
    return name.rpartition(".")[2]


def _split(overrides: Sequence[str]) -> dict[str, str]:
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value for key, _, value in pairs}


def _order(value: Cell) -> tuple[int, float, str] | None:
    """Numbers before words; a number may be written as one."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except ValueError:
        return (1, 0.0, str(value))
    return None if math.isnan(number) else (0, number, "")


def _optimum(row: dict[str, Cell]) -> str:
    optimum, error = row["optimum"], row.get("optimum_error")
    if not isinstance(optimum, int | float):
        return ""
    return optimum_text(optimum, error if isinstance(error, int | float) else None)
