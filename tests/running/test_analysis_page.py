"""The examples of docs/analysis.md run, and the page's keys are those of analysis.jsonl."""

import re
from pathlib import Path

import numpy as np
import pytest

from simplexity.composition import compose
from simplexity.running._analysis import Analysis
from simplexity.running._build import build
from simplexity.runs import RunDirectory, read_json_lines

PAGE = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


@pytest.fixture
def line(tmp_path, monkeypatch):
    (tmp_path / "configs" / "analysis").mkdir(parents=True)
    (tmp_path / "configs" / "my_probe.py").write_text(block("python"))
    (tmp_path / "configs" / "analysis" / "mine.yaml").write_text(block("yaml"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "configs")
    small = ("predictive_model.instance.hidden_size=4", "analysis.length=6")
    # A line then has all keys that it may have.
    both = ("training_data_generator.bos_token=auto", "analysis.also_without_bos=true")
    experiment = build(compose("experiment", ["analysis=mine", *small, *both]))
    directory = RunDirectory.create(tmp_path / "run")
    analysis = Analysis(directory, experiment, experiment.analysis)
    assert analysis.observe(2000, experiment.initial_state().model, lambda: False)
    (written,) = read_json_lines(directory.analysis_path)
    return written


@pytest.mark.slow
def test_the_example_of_a_function_of_one_s_own(line):
    assert line["errors"] == {}
    found = line["functions"]["probe"]
    assert len(found["kl_by_length"]) == 5
    # An untrained model's predictions are nearly uniform over the three tokens and BOS.
    assert found["kl"] == pytest.approx(np.log(4) - 0.8, abs=0.3)


@pytest.mark.slow
def test_the_interventions_run_as_they_stand():
    section = PAGE.partition("## Interventions")[2].partition("| Model")[0]
    names = {}
    exec("\n".join(re.findall(r"^    (.*)", section, re.MULTILINE)), names)
    assert names["steered"].shape == names["logits"].shape == (256, 10, 3)
    for edited in ("ablated", "patched", "steered"):
        assert not np.array_equal(names[edited], names["logits"])


def test_the_table_has_the_keys_of_a_line(line):
    table = PAGE.partition("## analysis.jsonl")[2].partition("##")[0]
    named = {key for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for key in re.findall(r"`(\w+)`", row)}
    assert named == set(line)
    cells = table.replace("`", " ")
    assert all(f" {key}" in cells for key in [*line["best"], *line["regressions"][0]])
