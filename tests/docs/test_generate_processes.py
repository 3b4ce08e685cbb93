import re
import runpy
from pathlib import Path

import pytest

from simplexity import generative_processes
from simplexity.process_rows import read_rows
from simplexity.process_table import packaged_processes

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_page_and_the_rows_of_the_processes_are_what_the_code_says():
    for path, text in runpy.run_path(str(ROOT / "docs" / "generate_processes.py"))["texts"]().items():
        assert path.read_text(encoding="utf-8") == text, f"`make docs` writes {path.name} anew"


def test_the_page_and_the_rows_were_written_together():
    page = (ROOT / "docs" / "processes.md").read_text(encoding="utf-8")
    table = re.findall(
        r"^\| \[(\w+)\]\(#\w+\) \| (\w+) \| (\S+) \| (\S+) \|.*\| ([\d.]+)(?: ± ([\d.]+))? \|", page, re.MULTILINE
    )
    written = {
        name: (kind, states, tokens, float(rate), float(error or 0))
        for name, kind, states, tokens, rate, error in table
    }
    assert written == {
        row.process: (
            row.kind, f"{row.num_states:,}", f"{row.vocab_size:,}", row.entropy_rate_nats, row.entropy_rate_error_nats
        )
        for row in read_rows()
    }  # fmt: skip


def test_a_process_without_its_source_is_named(monkeypatch):
    monkeypatch.setattr(generative_processes.coin, "__doc__", "A coin.")
    with pytest.raises(ValueError, match="the docstring of `coin` needs a section References"):
        list(packaged_processes())
