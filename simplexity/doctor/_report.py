"""Check results as people read them: laid out on a terminal, and a line each anywhere else."""

import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.text import Text

from simplexity.runs import counted
from simplexity.sweeps import printable

from ._check_result import CheckResult, Severity

_STYLES = {Severity.OK: "green", Severity.ADVICE: "yellow", Severity.PROBLEM: "bold red"}
_SEVERITY_WIDTH = max(len(severity) for severity in Severity)
_TOPIC_WIDTH = len("node failure")
_INDENT = 2 + _SEVERITY_WIDTH + 2 + _TOPIC_WIDTH + 2
_WIDEST = 120
_UNIT = re.compile(r"(\d) (?=(?:s|ms|min|h|d|MB|GB|%)(?!\w))")


class ReportPrinter:
    """Prints each check result as it comes and, on a terminal, what is being waited for. A context manager.

    Args:
        console: Where to print; standard output by default.
    """

    def __init__(self, console: Console | None = None):
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._status = self._console.status("")
        self._waiting = False

    def __enter__(self) -> "ReportPrinter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.show_progress("")

    def title(self, text: str) -> None:
        """Prints a line above the check results."""
        self._console.print(Text(printable(text), style="bold"), *[""] * self._console.is_terminal, sep="\n")

    def end(self, text: str) -> None:
        """Prints a line below the check results."""
        self._console.print(*[""] * self._console.is_terminal, Text(text, style="bold"), sep="\n")

    def show(self, result: CheckResult) -> None:
        """Prints one check result."""
        if self._console.is_terminal:
            self._console.print(result_text(result, min(self._console.width, _WIDEST)))
        else:
            self._console.print(Text(result_line(result)))

    def show_progress(self, text: str) -> None:
        """Shows what is being waited for, until the next call; nothing for empty text."""
        if not self._console.is_terminal:
            return
        self._status.update(Text(printable(text), style="dim", no_wrap=True, overflow="ellipsis"))
        if bool(text) != self._waiting:
            self._waiting = bool(text)
            (self._status.start if text else self._status.stop)()


def result_line(result: CheckResult) -> str:
    """One line, for files and for grep."""
    change = f" To change: {result.change}." if result.change else ""
    return printable(f"{result.severity}: {result.topic}: {result.found}. {result.meaning}{change}")


def result_text(result: CheckResult, width: int) -> Text:
    """A paragraph: severity and topic at the left; beside them what was found, what it means, what to change."""
    room = max(20, width - _INDENT)
    lines = [(line, "") for line in _wrapped(result.found, room)]
    lines += [(line, "dim") for line in _wrapped(result.meaning, room)]
    if result.change:
        lines += [(line, _STYLES[result.severity]) for line in _wrapped(f"→ {result.change}", room, "  ")]
    text = Text()
    for number, (line, style) in enumerate(lines):
        if number == 0:
            text.append(f"  {result.severity:{_SEVERITY_WIDTH}}", _STYLES[result.severity])
            text.append(f"  {result.topic:{_TOPIC_WIDTH}}  ", "bold")
        else:
            text.append("\n" + " " * _INDENT)
        text.append(line, style)
    return text


def summary_line(results: Sequence[CheckResult]) -> str:
    """What all check results come to, such as "1 problem, 2 pieces of advice"."""
    counts = Counter(result.severity for result in results)
    problems, pieces = counts[Severity.PROBLEM], counts[Severity.ADVICE]
    if not problems and not pieces:
        return "nothing to change"
    parts = [counted(problems, "problem")] * bool(problems)
    parts += [f"{counted(pieces, 'piece')} of advice"] * bool(pieces)
    return ", ".join(parts)


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    # A number stays beside its unit: textwrap breaks lines at plain spaces only.
    tied = _UNIT.sub("\\1\N{NO-BREAK SPACE}", printable(text))
    # Nor is a path or a key broken, so that it can be copied.
    lines = textwrap.wrap(tied, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
