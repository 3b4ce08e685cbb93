"""Colour for people at a terminal, and none for anything else."""

import os
from typing import TextIO

_BOLD, _RED, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[0m"


def wants_colour(stream: TextIO) -> bool:
    """Whether a stream is a terminal that shows colours, and nobody asks to have none (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def bold(text: str) -> str:
    """The text, bold."""
    return f"{_BOLD}{text}{_PLAIN}"


def red(text: str) -> str:
    """The text, red."""
    return f"{_RED}{text}{_PLAIN}"


def error_text(message: str, stream: TextIO) -> str:
    """An error as a stream shows it: on a terminal behind the word `error:`, and in a file as it is."""
    if not stream.isatty():
        return message
    return f"{_BOLD + red('error:') if wants_colour(stream) else 'error:'} {message}"
