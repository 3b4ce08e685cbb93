import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from simplexity.doctor import CheckResult, ReportPrinter, Severity, summary_line
from simplexity.doctor._report import result_line, result_text

RESULT = CheckResult(
    Severity.ADVICE, "notice", "GraceTime=0 s, KillWait=30 s",
    "A preempted run gets SIGTERM and is killed 30 s later; what it has not saved by then, it does again.",
    "ask the site for a GraceTime; until then save often (`persistence.instance.save_every_minutes`)",
)  # fmt: skip
HOSTILE = CheckResult(Severity.PROBLEM, "test job", "failed: \x1b[2J[red]ü\n日本", "Every run would.", "see /a b/0.log")


def test_a_line_says_all_three():
    assert result_line(RESULT) == (
        "advice: notice: GraceTime=0 s, KillWait=30 s. A preempted run gets SIGTERM and is killed 30 s later; what "
        "it has not saved by then, it does again. To change: ask the site for a GraceTime; until then save often "
        "(`persistence.instance.save_every_minutes`)."
    )
    assert result_line(RESULT._replace(severity=Severity.OK, change="")).endswith("it does again.")
    assert result_line(HOSTILE).count("\n") == 0


@pytest.mark.parametrize("width", [120, 80, 60])
def test_a_paragraph_fits_the_terminal(width):
    lines = result_text(RESULT, width).plain.splitlines()
    assert max(map(cell_len, lines)) <= max(width, 27 + len("(`persistence.instance.save_every_minutes`)"))
    assert lines[0].startswith("  advice   notice        GraceTime=0 s, KillWait=30 s")
    assert all(line.startswith(" " * 25) for line in lines[1:])
    assert not any(line.endswith((" 0", " 30")) for line in lines)  # a number and its unit stay together
    assert " ".join(" ".join(lines).split()).endswith(f"→ {RESULT.change}")


def printed(**console) -> str:
    file = io.StringIO()
    with ReportPrinter(Console(file=file, highlight=False, width=80, **console)) as printer:
        printer.title("cluster=dev")
        printer.show_progress("waiting")
        printer.show(HOSTILE)
        printer.end("1 problem")
    return file.getvalue()


def test_a_file_gets_one_line_each_and_a_terminal_no_foreign_escapes():
    lines = printed(soft_wrap=True).splitlines()
    assert lines == ["cluster=dev", result_line(HOSTILE), "1 problem"]
    terminal = printed(force_terminal=True, color_system=None)
    assert "\x1b[2J" not in terminal
    assert "\\x1b[2J[red]ü\\n日本" in terminal


@pytest.mark.parametrize(
    ("severities", "text"),
    [
        ([], "nothing to change"),
        ([Severity.OK], "nothing to change"),
        ([Severity.PROBLEM, Severity.OK], "1 problem"),
        ([Severity.ADVICE, Severity.PROBLEM, Severity.ADVICE, Severity.PROBLEM], "2 problems, 2 pieces of advice"),
        ([Severity.ADVICE], "1 piece of advice"),
    ],
)
def test_summaries(severities, text):
    assert summary_line([RESULT._replace(severity=severity) for severity in severities]) == text
