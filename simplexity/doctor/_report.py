"""Findings as people read them: laid out on a terminal, and a line each anywhere else."""

import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.text import Text

from simplexity.sweeps import printable

from ._check_result import Finding, Severity

_STYLES = {Severity.OK: "green", Severity.ADVICE: "yellow", Severity.PROBLEM: "bold red"}
_SEVERITY_WIDTH = max(len(severity) for severity in Severity)
_TOPIC_WIDTH = len("node failure")
_INDENT = 2 + _SEVERITY_WIDTH + 2 + _TOPIC_WIDTH + 2
_WIDEST = 120
_UNIT = re.compile(r"(\d) (?=(?:s|ms|min|h|d|MB|GB|%)(?!\w))")


class FindingPrinter:
    """Prints each finding as it comes, and on a terminal, while it waits, what for. A context manager.

    Args:
        console: Where to print; standard output by default.
    """

    def __init__(self, console: Console | None = None):
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._status = self._console.status("")
        self._waiting = False

    def __enter__(self) -> "FindingPrinter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.tell("")

    def title(self, text: str) -> None:
        """Prints a line above the findings."""
        self._console.print(Text(printable(text), style="bold"), *[""] * self._console.is_terminal, sep="\n")

    def end(self, text: str) -> None:
        """Prints a line below the findings."""
        self._console.print(*[""] * self._console.is_terminal, Text(text, style="bold"), sep="\n")

    def show(self, finding: Finding) -> None:
        """Prints one finding."""
        if self._console.is_terminal:
            self._console.print(finding_text(finding, min(self._console.width, _WIDEST)))
        else:
            self._console.print(Text(finding_line(finding)))

    def tell(self, text: str) -> None:
        """Shows what is being waited for until it is told something else; nothing for empty text."""
        if not self._console.is_terminal:
            return
        self._status.update(Text(printable(text), style="dim", no_wrap=True, overflow="ellipsis"))
        if bool(text) != self._waiting:
            self._waiting = bool(text)
            (self._status.start if text else self._status.stop)()


def finding_line(finding: Finding) -> str:
    """One line, for files and for grep."""
    change = f" To change: {finding.change}." if finding.change else ""
    return printable(f"{finding.severity}: {finding.topic}: {finding.found}. {finding.meaning}{change}")


def finding_text(finding: Finding, width: int) -> Text:
    """A paragraph: severity and topic at the left; beside them what was found, what it means, what to change."""
    room = max(20, width - _INDENT)
    lines = [(line, "") for line in _wrapped(finding.found, room)]
    lines += [(line, "dim") for line in _wrapped(finding.meaning, room)]
    if finding.change:
        lines += [(line, _STYLES[finding.severity]) for line in _wrapped(f"→ {finding.change}", room, "  ")]
    text = Text()
    for number, (line, style) in enumerate(lines):
        if number == 0:
            text.append(f"  {finding.severity:{_SEVERITY_WIDTH}}", _STYLES[finding.severity])
            text.append(f"  {finding.topic:{_TOPIC_WIDTH}}  ", "bold")
        else:
            text.append("\n" + " " * _INDENT)
        text.append(line, style)
    return text


def summary_line(findings: Sequence[Finding]) -> str:
    """What all findings come to."""
    counts = Counter(finding.severity for finding in findings)
    problems, pieces = counts[Severity.PROBLEM], counts[Severity.ADVICE]
    if not problems and not pieces:
        return "nothing to change"
    parts = [f"{problems} problem{'s' * (problems != 1)}"] * bool(problems)
    parts += [f"{pieces} piece{'s' * (pieces != 1)} of advice"] * bool(pieces)
    return ", ".join(parts)


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    # A number stays beside its unit: textwrap breaks lines at plain spaces only.
    tied = _UNIT.sub("\\1\N{NO-BREAK SPACE}", printable(text))
    # Nor is a path or a key broken, so that it can be copied.
    lines = textwrap.wrap(tied, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
