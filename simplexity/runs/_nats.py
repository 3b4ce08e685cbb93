"""Losses as people read them."""

import math


def nats_text(value: float, digits: int = 5) -> str:
    """A loss with this many digits behind the point; one of ten nats or more with six digits in all."""
    # Adding zero makes of -0.0 a zero without a sign.
    return f"{round(value, digits) + 0.0:.{digits}f}" if abs(value) < 9.99999 else f"{value:.6g}"


def optimum_text(nats: float, error_nats: float | None, digits: int = 5) -> str:
    """An optimum, with its error where that is not below the printed digits: `1.29695 ± 0.00006`.

    Args:
        nats: The best possible loss.
        error_nats: What it may be off by; None if that is not known, as of runs of earlier versions.
        digits: How many to print behind the point.
    """
    unit = 10.0**-digits
    if error_nats is None or error_nats < unit / 2:
        return nats_text(nats, digits)
    # Rounded upwards, but for what division makes of a whole number of units: the error that is printed holds too.
    return f"{nats_text(nats, digits)} ± {nats_text(math.ceil(error_nats / unit - 1e-9) * unit, digits)}"
