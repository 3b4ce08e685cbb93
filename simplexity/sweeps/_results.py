"""A sweep's results: overrides against final metrics."""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
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
    typed = dict.fromkeys(override.partition("=")[0] for run in status.runs for override in run.run.overrides)
    keys = list(dict.fromkeys(key.lstrip("+") for key in typed))
    # Whatever columns there are, the reason comes last: its place is the first, to be known from the beginning.
    places: dict[str, int] = {}
    rows: list[Row] = []
    columns: dict[tuple[Any, ...], tuple[str, ...]] = {}
    latest: tuple[str, ...] = ()
    is_in_order = True
    kept = KeptAnswers(sweep.results_path)
    for run, read in zip(status.runs, in_threads(partial(_numbers, sweep, kept), status.runs), strict=True):
        pairs = _split(run.run.overrides)
        logged, analysed, reason = read
        error = () if run.optimum_error_nats is None else (run.optimum_error_nats,)
        shape = (len(error), len(logged), *logged, *analysed)
        if (names := columns.get(shape)) is None:
            names = columns[shape] = _columns(keys, bool(error), logged, analysed)
        values = (
            run.run.index, run.state.value, *map(pairs.get, keys), run.step,
            run.loss_nats, run.optimum_nats, run.excess_nats, *error, *logged.values(), *analysed.values(),
        )  # fmt: skip
        if names is not latest:
            latest = names
            for name in names:
                places.setdefault(name, len(places) + 1)
            is_in_order = names == tuple(places)
        if not is_in_order:  # as in few sweeps
            # Of two values of a name, the last.
            values = map(dict(zip(names, values, strict=True)).get, places)
        rows.append(Row(places, (reason, *values)))
    kept.save()
    places["reason"] = 0
    return rows


def _columns(
    keys: Sequence[str], has_error: bool, logged: Mapping[str, Any], analysed: Mapping[str, Cell]
) -> tuple[str, ...]:
    """The columns of a run's values, but for the reason: of a hundred thousand runs most have the same."""
    names = ["run", "state", *keys, "step", "loss", "optimum", "excess", *["optimum_error"] * has_error]
    known = frozenset(names)
    # A training loss stands for itself beside a validation's.
    return (*names, *(f"training_{name}" if name in known else name for name in logged), *analysed)


def _numbers(
    sweep: SweepDirectory, kept: KeptAnswers, status: RunStatus
) -> tuple[dict[str, float], dict[str, Cell], str]:
    """The numbers that a run has logged last, what it has analysed last, and the reason of its status.

    The reason of a run whose metrics cannot be read is that, if there is no other.
    """
    seen, has_analysis = None, True
    if status.state == RunState.COMPLETE:
        # An analysis may be made again, of a complete run too. As text: making paths would take as long as all else.
        version = f"{status.run.config_hash} {status.complete_since}"
        seen = marks(version, f"{sweep.path}/{status.run.directory}/{_ANALYSIS}")
        if seen is None:
            seen, has_analysis = marks_of_absence(version), False
    answer = None if seen is None else kept.take(status.run.index, seen)
    if type(answer) is list and len(answer) == 2 and type(answer[0]) is type(answer[1]) is dict:
        return answer[0], answer[1], status.reason
    if status.state == RunState.UNREADABLE:
        return {}, {}, status.reason
    directory = sweep.run_directory(status.run)
    logged, failure = _last_logged(directory.metrics_path)
    analysed = _last_analysis(directory.analysis_path)
    # An analysis without numbers may be one that could not be read just now.
    if seen is not None and not failure and (analysed or not has_analysis):
        kept.add(status.run.index, seen, [logged, analysed])
    return logged, analysed, status.reason or failure


def _last_logged(path: Path) -> tuple[dict[str, float], str]:
    """The numbers in the last line of a run's metrics, and why it cannot be read, if it cannot."""
    try:
        lines = last_records(path, 1)
    except OSError as error:
        return {}, reading_failure(error)
    logged = lines[0].items() if lines else ()
    numbers: dict[str, float] = {
        name: value for name, value in logged if isinstance(value, int | float) and name not in _NO_RESULTS
    }
    return numbers, ""


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
