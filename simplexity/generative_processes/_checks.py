"""The domains of the named processes' parameters."""

from collections.abc import Mapping

LEAST_RATE = 1e-12
"""The least probability of something that a process must do: well above the rounding of one."""


def check_interval(
    low: float, high: float, *, low_open: bool = False, high_open: bool = False, **parameters: float
) -> None:
    """Raises ValueError, which names the parameter and the interval, unless every parameter lies in the interval.

    Args:
        low: The lower end.
        high: The upper end.
        low_open: Whether the lower end itself is excluded.
        high_open: Whether the upper end itself is excluded.
        **parameters: Name and value of each parameter.
    """
    for name, value in parameters.items():
        above = value > low if low_open else value >= low
        below = value < high if high_open else value <= high
        # Not a number compares false, and so is rejected too.
        if not (above and below):
            interval = f"{'(' if low_open else '['}{low:g}, {high:g}{')' if high_open else ']'}"
            raise ValueError(f"`{name}` must lie in {interval}, got {value}")


def check_sum_at_most_one(parameters: Mapping[str, float]) -> None:
    """Raises ValueError unless the named probabilities can be those of exclusive events."""
    total = sum(parameters.values())
    if total > 1 + 1e-12:
        names = " + ".join(f"`{name}`" for name in parameters)
        raise ValueError(f"{names} must be at most 1, got {total:g}")
