"""From Hydra's sweep syntax to Optuna's distributions, and from Optuna's values back to overrides."""

from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

_LOG = "log"


def search_space(overrides: Iterable[Override]) -> dict[str, BaseDistribution]:
    """The distribution of each key that is swept over; other overrides are passed over.

    Args:
        overrides: Parsed overrides, as Hydra's own grammar reads them.

    Raises:
        ValueError: If a sweep has no counterpart.
    """
    return {
        override.get_key_element(): _distribution(override) for override in overrides if override.is_sweep_override()
    }


def as_override(key: str, value: Any) -> str:
    """The override that sets `key` to a value drawn from its distribution.

    Categories are kept as the text of their override, numbers as numbers.
    """
    return f"{key}={value!r}" if isinstance(value, float) else f"{key}={value}"


def _distribution(override: Override) -> BaseDistribution:
    sweep = override.value()
    tags = set(getattr(sweep, "tags", ()))
    if not tags <= {_LOG}:
        raise _error(override, f"knows no tag but log, got {', '.join(sorted(tags - {_LOG}))}")
    try:
        if isinstance(sweep, IntervalSweep):
            return _interval(sweep, log=_LOG in tags)
        if isinstance(sweep, RangeSweep):
            return _range(sweep, log=_LOG in tags)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise _error(override, f"has no values: {error}") from error


def _interval(sweep: IntervalSweep, *, log: bool) -> BaseDistribution:
    low, high = sweep.start, sweep.end
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)  # pyright: ignore[reportArgumentType]


def _range(sweep: RangeSweep, *, log: bool) -> BaseDistribution:
    """A range's stop is excluded, and it may run downwards; a distribution's bounds are its smallest and largest."""
    values = sorted(sweep.range())
    if not values:
        raise ValueError("the range is empty: from START its STEP does not lead to STOP")
    step = abs(sweep.step)
    if all(isinstance(value, int) for value in values):
        return IntDistribution(int(values[0]), int(values[-1]), log=log, step=1 if log else int(step))
    return FloatDistribution(values[0], values[-1], log=log, step=None if log else step)


def _error(override: Override, message: str) -> ValueError:
    return ValueError(f"`{override.get_key_element()}`: the search over {override.input_line} {message}")
