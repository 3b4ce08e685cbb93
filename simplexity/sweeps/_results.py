"""A sweep's results: overrides against final metrics."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from sys import intern
from typing import Any

from simplexity.runs import RunDirectory

from ._directory import SweepDirectory
from ._in_threads import in_threads
from ._kept_answers import KeptAnswers, marks, marks_of_absence
from ._rows import Cell, Row
from ._run_files import last_records, reading_failure
from ._run_status import RunState, RunStatus
from ._sweep_status import SweepStatus, paused_collector

# Bookkeeping of the metrics, no results.
_NO_RESULTS = ("step", "timestamp")
# Made once: `int | float` is a new object each time.
_NUMBER = (int, float)
_ANALYSIS = RunDirectory(Path()).analysis_path.name


@paused_collector()
def results_rows(sweep: SweepDirectory, status: SweepStatus) -> list[Row]:
    """A row for every run: `run`, `state`, a column for every key that any of them overrides, the results, `reason`.

    Of a complete run, `loss`, `optimum` and `excess` are the final ones, of the validation if there was one; behind
    them come the numbers that were logged last, and those of the last analysis: the R² of the layer with the greatest,
    its controls, and what the user's own functions have returned.

    Args:
        sweep: The sweep's folder. What was read of its complete runs is kept in it, for the next call.
        status: What `read_status` has found in it.

    Returns:
        The rows in the order of the runs, all with the same columns; a cell without a value is None.
    """
    keys = list(dict.fromkeys(key for run in status.runs for key in _split(run.run.overrides)))
    # Whatever columns there are, the reason comes last: its place is the first, to be known from the beginning.
    places: dict[str, int] = {}
    rows: list[Row] = []
    latest: tuple[str, ...] = ()
    is_in_order = True
    with KeptAnswers(sweep.results_path) as kept:
        for run, read in zip(status.runs, in_threads(partial(_numbers, sweep, kept), status.runs), strict=True):
            pairs = _split(run.run.overrides)
            if len(pairs) < len(keys):
                pairs = {key: pairs.get(key) for key in keys}
            logged, analysed, reason = read
            cells = _cells(run, pairs, logged, analysed)
            if (names := tuple(cells)) != latest:
                latest = names
                for name in names:
                    places.setdefault(name, len(places) + 1)
                is_in_order = names == tuple(places)
            # As in most sweeps.
            values = cells.values() if is_in_order else map(cells.get, places)
            rows.append(Row(places, (reason, *values)))
        kept.save()
    places["reason"] = 0
    return rows


def _cells(
    status: RunStatus, overrides: Mapping[str, str | None], logged: dict[str, Any], analysed: dict[str, Cell]
) -> dict[str, Cell]:
    """A run's row, but for the reason."""
    row: dict[str, Cell] = {"run": status.run.index, "state": status.state.value, **overrides, "step": status.step}
    row |= {"loss": status.loss_nats, "optimum": status.optimum_nats, "excess": status.excess_nats}
    if status.optimum_error_nats is not None:
        row["optimum_error"] = status.optimum_error_nats
    known = frozenset(row)
    for name, value in logged.items():
        if isinstance(value, _NUMBER) and name not in _NO_RESULTS:
            # A training loss stands for itself beside a validation's.
            row[f"training_{name}" if name in known else name] = value
    row |= analysed
    return row


def _numbers(
    sweep: SweepDirectory, kept: KeptAnswers, status: RunStatus
) -> tuple[dict[str, Any], dict[str, Cell], str]:
    """What a run has logged last, what it has analysed last, and why it is not running."""
    seen, has_analysis = None, True
    if status.state == RunState.COMPLETE:
        # An analysis may be made again, of a complete run too. As text: making paths would take as long as all else.
        version = f"{status.run.config_hash} {status.complete_since}"
        analysis_path = f"{sweep.path}/{status.run.directory}/{_ANALYSIS}"
        seen = marks(version, analysis_path)
        if seen is None:
            seen, has_analysis = marks_of_absence(version), False
    answer = None if seen is None else kept.get(status.run.index, seen)
    if type(answer) is list and len(answer) == 2 and type(answer[0]) is type(answer[1]) is dict:
        # The same object for all runs with the same words.
        analysed = {name: intern(value) if type(value) is str else value for name, value in answer[1].items()}
        return answer[0], analysed, status.reason
    logged, reason = _last_logged(sweep, status)
    analysis = sweep.run_directory(status.run).analysis_path
    analysed = {} if status.state == RunState.UNREADABLE else _last_analysis(analysis)
    # An analysis without numbers may be one that could not be read just now.
    if seen is not None and not reason and (analysed or not has_analysis):
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


def _split(overrides: Sequence[str]) -> dict[str, str]:
    return dict(map(_key_and_value, overrides))


@lru_cache(maxsize=4096)
def _key_and_value(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+"), value
