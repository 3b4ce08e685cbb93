"""Mistakes in a config: what they are called, and how they are shown to the person who typed the command."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from simplexity.runs import reason

# Letters below which a name is not taken for the beginning of a longer one.
_SHORTENED = 4
_NAMED = re.compile(r"`(\w+(?:\[\d+\])*)`:?\s+(.*)", re.DOTALL)


class Problem(NamedTuple):
    """One mistake: the dotted key that it is about, and the rule with the value that broke it and the remedy."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"`{self.path}`: {one_line(self.message)}"


class ConfigError(Exception):
    """A config that cannot be run, with every mistake that was found in it.

    Attributes:
        problems: The mistakes.

    Example:
        >>> import simplexity as sx
        >>> try:
        ...     sx.load_run("nowhere")
        ... except sx.ConfigError as error:
        ...     print([problem.message for problem in error.problems])
        ['there is no such folder']
    """

    def __init__(self, problems: Sequence[Problem]):
        super().__init__(report(problems))
        self.problems = tuple(problems)


def report(problems: Sequence[Problem]) -> str:
    """One mistake in one line; several as a header and a line each."""
    if len(problems) == 1:
        return str(problems[0])
    return "\n  ".join([f"the config has {len(problems)} mistakes:", *map(str, problems)])


def describe_error(error: Exception) -> str:
    """A failure in one line, or a config's mistakes in a line each."""
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"`{error.filename}`: {reason(error)}"
    return one_line(str(error)) or type(error).__name__


def one_line(text: str) -> str:
    """Folds whitespace, line breaks included, to single spaces."""
    return " ".join(text.split())


def closest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name that a wrong one most likely stands for; None if none is close."""
    valid = sorted(valid)
    for typed in (name, name.lower()):
        if close := difflib.get_close_matches(typed, valid, n=1):
            return close[0]
    # People shorten long names, as `beleif` for belief_geometry.
    beginnings = {option[: len(name)]: option for option in valid} if len(name) >= _SHORTENED else {}
    close = difflib.get_close_matches(name.lower(), beginnings, n=1, cutoff=0.75)
    return beginnings[close[0]] if close else None


def choices(name: str, valid: Iterable[str], guess: str | None = None) -> str:
    """A remedy for a wrong `name`: the closest valid one where one is close, and all of them.

    Args:
        name: As it was typed.
        valid: What it may be.
        guess: What was meant, where more is known than `name`; None for the closest of `valid`.
    """
    valid = sorted(valid)
    if not valid:
        return "there are none to choose from"
    guess = guess or closest(name, valid)
    return (f"did you mean `{guess}`? " if guess else "") + f"valid: {', '.join(valid)}"


def problem_at(path: str, error: Exception) -> Problem:
    """What a constructor said about its argument, under the argument's dotted key.

    Constructors name the argument in backticks at the start of their message ("`p` must lie in [0, 1], got 1.3"); an
    error that does not is put on `path` itself.
    """
    match = _NAMED.fullmatch(str(error))
    if match is None:
        return Problem(path, str(error) or type(error).__name__)
    # An entry of a list, `variants[1]`, has the key `variants.1` in a config.
    return Problem(f"{path}.{match[1].replace('[', '.').replace(']', '')}", match[2])


def raised_in(error: Exception, *packages: str) -> bool:
    """Whether the code that raised an error is of one of these packages."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    module = "" if traceback is None else traceback.tb_frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in packages


@contextmanager
def config_errors_at(path: str) -> Iterator[None]:
    """Turns the ValueError or TypeError of a constructor called inside into a `ConfigError` about `path`."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise ConfigError([problem_at(path, error)]) from error
