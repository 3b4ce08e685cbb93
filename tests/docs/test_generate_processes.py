import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_page_and_the_rows_of_the_processes_are_what_the_code_says():
    for path, text in runpy.run_path(str(ROOT / "docs" / "generate_processes.py"))["texts"]().items():
        assert path.read_text(encoding="utf-8") == text, f"`make docs` writes {path.name} anew"
