"""The notebooks of examples/: their cells run in order, in one namespace, and find what the text beside them says.

They run without Jupyter, whose kernel would add some thirty packages to the tests: the cells are plain Python.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
MOST_BYTES = 200_000


def code_cells(notebook: Path) -> list[str]:
    cells = json.loads(notebook.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def run_cells(notebook: Path, **constants: int) -> dict[str, Any]:
    """Executes the notebook's code in the current folder, with other constants, and returns its variables."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    for number, code in enumerate(code_cells(notebook)):
        exec(compile(code, f"{notebook.name}, code cell {number}", "exec"), variables)
        # The first cell defines them.
        assert number > 0 or constants.keys() <= variables.keys()
        variables |= constants
    return variables


def test_belief_states(tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIMPLEXITY_CACHE", str(cache))
    found = run_cells(EXAMPLES / "belief_states.ipynb", NUM_STEPS=800)

    def r2(result, features, kind):
        return next(row.regression.r2 for row in result.rows if (row.features, row.kind) == (features, kind))

    mess3, rrxor = found["result"], found["rrxor"]
    assert found["run"].saved_steps[-1] == 800
    assert r2(mess3, "layer_0", "trained") > 0.97
    assert r2(mess3, "layer_0", "untrained") > 0.9
    assert r2(mess3, "layer_0", "shuffled") < 0.05
    assert r2(mess3, "next-token probabilities", "control") > 0.9999
    assert r2(rrxor, "layer_0", "trained") > r2(rrxor, "Markov states of order 4", "control")
    assert r2(rrxor, "layer_0", "trained") > 0.7
    assert max(r2(rrxor, "layer_0", "untrained"), r2(rrxor, "next-token probabilities", "control")) < 0.35
    assert (found["axis"].get_xlim(), len(found["axis"].patches)) == ((0, 1), len(found["names"]))


@pytest.mark.parametrize("notebook", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda notebook: notebook.name)
def test_a_notebook_uses_only_what_is_public_and_its_outputs_are_small(notebook):
    code = "\n".join(code_cells(notebook))
    assert "import simplexity as sx" in code
    assert not re.search(r"\b(simplexity|sx)(\.\w+)*\._", code)
    assert notebook.stat().st_size < MOST_BYTES
