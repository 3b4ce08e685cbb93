"""A number with the error that it may have."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """An entropy per token, nats: the truth lies within `value - error` and `value + error`.

    For an ergodic HMM it even lies within `[value - error, value]`, a proven bound up to the rounding of float64
    (1e-12), and an error of zero means that the value is exact. For a GHMM with negative entries, an error above zero
    is itself an estimate, and for a mixture the error holds with a stated probability; the functions that return one
    say how it is made.
    """

    value: float
    """Nats."""
    error: float
    """Nats, never negative."""
