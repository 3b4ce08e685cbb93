import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_page_of_the_processes_is_what_the_code_says():
    program = runpy.run_path(str(ROOT / "docs" / "generate_processes.py"))
    written = program["PAGE"].read_text(encoding="utf-8")
    assert written == program["page"](), "`make docs` writes docs/processes.md anew"
