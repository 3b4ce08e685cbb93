"""A number with the error that it may have."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """An entropy per token from above: the truth lies within `[value - error, value]`.

    For an HMM that is a proven bound, up to the rounding of float64 (1e-12), and an error of zero means that the value
    is exact. For a GHMM with negative entries, an error above zero is itself an estimate; the functions that return one
    say how it is made.
    """

    value: float
    """Nats."""
    error: float
    """Nats, never negative."""
