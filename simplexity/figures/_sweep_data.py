"""What the pictures of a sweep show: the swept keys as numbers or categories, each run's final KL, and its curve."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from simplexity.runs import RunDirectory, read_json_lines
from simplexity.sweeps import RunState, SweepDirectory, override_names, read_status, results_rows, short_names

_SEED = "seed"
_TWO_DECADES = 100.0
_MOST_UNEVEN = 1.35
_Values = tuple[str | float | None, ...]


class SweptKey(NamedTuple):
    """A key that differs between the runs of a sweep."""

    label: str
    """Its last part where that is enough to tell it from the others."""
    values: _Values
    """Of each run; numbers if all are numbers, None where a run does not override the key."""
    is_logarithmic: bool
    """Whether it was swept in logarithms, or spans two decades."""

    @property
    def categories(self) -> list[str] | None:
        """The distinct values in the order of the runs; None for numbers."""
        known = [value for value in self.values if value is not None]
        if all(isinstance(value, float) for value in known):
            return None
        return list(dict.fromkeys(map(str, known)))

    @property
    def is_ordered(self) -> bool:
        """Whether what lies between two values means something: not between categories or seeds."""
        return self.categories is None and self.label != _SEED

    def places(self) -> Float[np.ndarray, " runs"]:
        """Where each run stands on an axis: its number, or that of its category; NaN without a value."""
        categories = self.categories
        if categories is None:
            numbers = self.values
        else:
            numbers = [None if value is None else categories.index(str(value)) for value in self.values]
        return np.array([np.nan if number is None else number for number in numbers], dtype=np.float64)


class SweepData(NamedTuple):
    """The runs of a sweep, in the order of the manifest."""

    keys: tuple[SweptKey, ...]
    """Those that differ, but for the seed, unless it is the only one."""
    final_kl: Float[np.ndarray, " runs"]
    """Final loss minus optimum, in nats per token; NaN of a run that is not complete, or whose loss is not finite."""
    belief_r2: Float[np.ndarray, " runs"]
    """R² of the belief states from the best activations; NaN of a run without it, or that is not complete."""
    curves: tuple[tuple[Float[np.ndarray, " lines"], Float[np.ndarray, " lines"]], ...]
    """Steps, and the distance to the optimum there: of the validation if the runs have one, else of training."""
    is_validated: bool

    def groups(self, keys: Sequence[SweptKey]) -> Mapping[tuple, list[int]]:
        """The runs by their values of these keys, in the order of the runs: those of one group differ in the rest."""
        found: dict[tuple, list[int]] = {}
        for run in range(len(self.final_kl)):
            found.setdefault(tuple(key.values[run] for key in keys), []).append(run)
        return found


def read_sweep(sweep: SweepDirectory) -> SweepData:
    """Reads the runs of a sweep, which may still be running.

    Args:
        sweep: Its folder.
    """
    status = read_status(sweep)
    rows = results_rows(sweep, status)
    logged = [_lines(sweep.run_directory(run.run)) for run in status.runs]
    is_validated = any("validation_kl" in line for lines in logged for line in lines)
    curve = "validation_kl" if is_validated else "excess"
    names = _swept_names(rows)
    text = _sweep_text(sweep)
    return SweepData(
        keys=tuple(
            _key(name, label, [row[name] for row in rows], text)
            for name, label in zip(names, short_names(names), strict=True)
        ),
        final_kl=np.array([_at_end(row, "excess") for row in rows], dtype=np.float64),
        belief_r2=np.array([_at_end(row, "belief_r2") for row in rows], dtype=np.float64),
        curves=tuple(_curve(lines, curve) for lines in logged),
        is_validated=is_validated,
    )


def _swept_names(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """The overrides in which runs differ, without the seed unless it is the only one."""
    varied = [name for name in override_names(rows) if len({row[name] for row in rows}) > 1]
    return [name for name in varied if name != _SEED] or varied


def _key(name: str, label: str, values: Sequence[object], sweep_text: str) -> SweptKey:
    numbers = [_number(value) for value in values]
    if any(number is None and value is not None for number, value in zip(numbers, values, strict=True)):
        return SweptKey(label, tuple(None if value is None else str(value) for value in values), False)
    asked = re.search(rf"{re.escape(name)}['\"]?\s*[:=]\s*['\"]?tag\(\s*log\b", sweep_text) is not None
    return SweptKey(label, tuple(numbers), _is_logarithmic([n for n in numbers if n is not None], asked))


def _is_logarithmic(numbers: Sequence[float], asked: bool) -> bool:
    distinct = sorted(set(numbers))
    if len(distinct) < 2 or distinct[0] <= 0:
        return False
    if asked or distinct[-1] / distinct[0] >= _TWO_DECADES:
        return True
    if len(distinct) == 2:
        return False
    # 1, 3, 10, 30 and 1, 2, 5, 10 are meant to be equally spaced in logarithms.
    unevenness = _unevenness(np.log(distinct))
    return unevenness < min(_MOST_UNEVEN, _unevenness(distinct))


def _unevenness(numbers: ArrayLike) -> float:
    """The greatest distance between neighbours over the least."""
    steps = np.diff(numbers)
    return float(steps.max() / steps.min())


def _sweep_text(sweep: SweepDirectory) -> str:
    """The sweep's own config, which says what was swept in logarithms; empty where it cannot be read."""
    try:
        return sweep.multirun_path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _lines(directory: RunDirectory) -> list[dict]:
    try:
        return read_json_lines(directory.metrics_path)
    except (RuntimeError, OSError):  # `simplexity status` says so of the run; the others have curves
        return []


def _curve(lines: Sequence[dict], name: str) -> tuple[np.ndarray, np.ndarray]:
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    steps, values = zip(*points, strict=True) if points else ((), ())
    return np.array(steps, dtype=np.float64), np.array(values, dtype=np.float64)


def _at_end(row: Mapping[str, object], name: str) -> float:
    value = row.get(name)
    is_known = row["state"] == RunState.COMPLETE and isinstance(value, int | float) and math.isfinite(value)
    return float(value) if is_known else math.nan  # pyright: ignore[reportArgumentType]


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
