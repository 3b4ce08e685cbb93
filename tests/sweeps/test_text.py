from pathlib import Path

import pytest
from rich.cells import cell_len

from simplexity.sweeps._text import by_columns, display_path, duration, number, printable, table


def test_nothing_moves_the_cursor():
    assert printable("a\nb\x1b[2Jü\u202e") == "a\\nb\\x1b[2Jü\\u202e"
    assert printable("\ud800") == "\\ud800"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59, "59 s"), (90, "2 min"), (3600, "1 h"), (12000, "3 h 20 min"), (190000, "2 d 4 h")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_numbers():
    assert [number(None), number(1.0), number(0.123456), number(2.9e30)] == ["", "1.00000", "0.12346", "2.9e+30"]
    assert [number(value) for value in (0, 0.0, -0.0, -1e-7, -0.5)] == ["0.00000"] * 4 + ["-0.50000"]


@pytest.mark.parametrize("width", [None, 40, 30])
def test_columns_are_aligned(width):
    rows = [("0", "seed=1 ü日本" * 4, "1.5"), ("10", "seed=2", "")]
    lines = list(table(("run", "overrides", "loss"), by_columns(rows), width=width, flexible=1))
    assert {line.index("loss") for line in lines[:1]} == {cell_len(lines[1]) - 4}
    assert width is None or max(map(cell_len, lines)) <= width
    if width is not None:
        assert "…" in lines[1]
        assert lines[1].endswith("日本  1.5") or lines[1].endswith("日本   1.5")


def test_a_narrow_terminal_does_without_the_least_columns():
    header, row = ("run", "overrides", "node", "rate", "loss"), ("0", "learning_rate=0.01", "node17", "3.5", "0.7")
    lines = [list(table(header, by_columns([row]), width, 1, (2, 3)))[1] for width in (60, 36, 30, 24)]
    assert [line.split() for line in lines] == [
        ["0", "learning_rate=0.01", "node17", "3.5", "0.7"],
        ["0", "learning_rate=0.01", "3.5", "0.7"],
        ["0", "learning_rate=0.01", "0.7"],
        ["0", "…ng_rate=0.01", "0.7"],
    ]


@pytest.mark.parametrize(
    ("current", "shown"), [("/", "/usr/lib/x"), ("/usr", "lib/x"), ("/usr/lib", "x"), ("/etc", "/usr/lib/x")]
)
def test_a_path_is_relative_to_the_current_folder_and_never_to_the_root(monkeypatch, current, shown):
    monkeypatch.chdir(current)
    assert display_path(Path("/usr/lib/x")) == shown
