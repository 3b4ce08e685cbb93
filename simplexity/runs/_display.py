"""How results and errors are shown to people: numbers of things, losses in nats, and colours on a terminal only."""

import math
import os
from typing import TextIO

_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and NO_COLOR is not set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def bold(text: str) -> str:
    """The text, bold."""
    return f"{_BOLD}{text}{_PLAIN}"


def red(text: str) -> str:
    """The text, red."""
    return f"{_RED}{text}{_PLAIN}"


def error_text(message: str, stream: TextIO) -> str:
    """An error as a stream shows it: on a terminal behind the word `error:`, and in a file as it is.

    Args:
        message: What went wrong, and what to do.
        stream: Where it will be printed.
    """
    if not stream.isatty():
        return message
    return f"{_BOLD + red('error:') if wants_colour(stream) else 'error:'} {message}"


def counted(number: int, noun: str) -> str:
    """A number of things: `1 run`, `2 runs`, `10,000 runs`.

    Args:
        number: How many.
        noun: In the singular; one whose plural ends in s.
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def nats_text(value: float, digits: int = 5) -> str:
    """A loss as it is printed; one of ten nats or more has six digits in all.

    Args:
        value: In nats; it may be infinite or not a number.
        digits: How many to print behind the point.
    """
    if 0.0 < value < 9.99999:
        return f"{value:.{digits}f}"
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
