"""`simplexity processes` and `simplexity process NAME`, in this process."""

import json
from pathlib import Path

import numpy as np
import pytest

from simplexity.cli import main
from simplexity.generative_processes import myopic_entropies, zero_one_random
from simplexity.process_rows import estimate_text, read_rows, rounded, row_lines, value_text
from simplexity.process_table import packaged_processes


def test_the_table_fits_a_terminal_and_a_pipe_gets_all_of_it(capfd):
    assert main(["processes"]) == 0
    header, *lines = capfd.readouterr().out.splitlines()
    assert header.split() == ["process", "states", "tokens", "entropy", "rate", "source", "kind", "parameters"]
    (line,) = [line for line in lines if line.startswith("mess3 ")]
    assert line.split() == ["mess3", "3", "3", "0.79346", "arXiv:2405.15943", "HMM", "x=0.05,", "a=0.85"]
    header, *lines = row_lines(read_rows(), 80)
    assert header.split() == ["process", "states", "tokens", "entropy", "rate", "parameters"]
    assert max(map(len, lines)) <= 80
    assert next(line for line in lines if line.startswith("mess3 ")).endswith("  x=0.05, a=0.85")


def test_the_rows_are_those_of_the_packaged_processes(capfd):
    """Without the entropy rates, which take seconds: tests/docs computes them too."""
    assert main(["processes", "--json"]) == 0
    for record, named in zip(json.loads(capfd.readouterr().out), packaged_processes(), strict=True):
        known = (named.name, type(named.process).__name__, named.process.num_states, named.process.vocab_size)
        assert (*(record[key] for key in ("process", "kind", "num_states", "vocab_size")),) == known
        assert (record["parameters"], tuple(record["sources"])) == (named.parameters, named.sources)


@pytest.mark.parametrize(
    "words",
    [
        ["mess3", "--length", "1", "x=.1"],
        ["--length", "1", "x=.1", "mess3", "a=.6"],
        ["a=.6", "mess3", "--length", "1", "x=.1"],
    ],
)
def test_words_come_in_any_order(capfd, words):
    assert main(["process", *words]) == 0
    assert "x=0.1" in capfd.readouterr().out.splitlines()[0]


def test_a_process_is_shown_exactly(capfd):
    assert main(["process", "zero_one_random", "p=0.2", "--length", "4"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "zero_one_random(p=0.2): HMM, 3 states, 2 tokens"
    matrices = zero_one_random(0.2).transition_matrices
    start = lines.index("T[0]:") + 1
    shown = np.array([line.split() for line in lines[start : start + 3]], dtype=float)
    np.testing.assert_allclose(shown, matrices[0], atol=5e-6)
    rows = [line.split() for line in lines if line.endswith("exact")]
    expected = [value for value, _ in myopic_entropies(zero_one_random(0.2), 4)]
    np.testing.assert_allclose([float(value) for _, value, _ in rows], expected, atol=5e-7)
    assert f"statistical complexity: {np.log(3):.6f} nats" in lines


def test_what_is_not_finite_says_so(capfd):
    assert main(["process", "sns", "--length", "1"]) == 0
    out = capfd.readouterr().out
    assert "62 mixed states up to depth 60, and more beyond" in out
    assert "statistical complexity" not in out


def test_a_unifilar_process_with_endless_mixed_states_has_its_causal_states(capfd):
    assert main(["process", "rrxor", "p2=0.4", "--length", "1"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-4].endswith("and more beyond")
    complexity = np.log(3) + 2 / 3 * np.log(2)
    assert lines[-3:] == [
        "epsilon machine: 5 causal states",
        f"statistical complexity: {complexity:.6f} nats",
        f"excess entropy: {complexity:.6f} nats",
    ]


def test_a_process_of_the_site_is_shown_though_its_file_has_no_initial_state(tmp_path, monkeypatch, capfd):
    folder = tmp_path / "configs" / "generative_process"
    folder.mkdir(parents=True)
    target = "simplexity.generative_processes.even_ones"
    (folder / "mine.yaml").write_text(f"instance: {{_target_: {target}, p: 0.5}}\nbos_token: null\neos_token: null\n")
    monkeypatch.chdir(tmp_path)
    assert main(["process", "mine", "--length", "1"]) == 0
    assert "initial state:" not in capfd.readouterr().out
    assert main(["process", "mine", "initial_state=[1,0]", "--length", "1"]) == 0
    assert "initial state:     1.00000  0.00000" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mess3", "x=2"], "`x`: must lie in [0, 0.5], got 2"),
        (["mess3", "x"], "`x` must be PARAMETER=VALUE"),
        (["mess3", "y=1"], "`y`"),
        (["mes3"], "simplexity: process: there is no 'mes3'"),
        (["../mess3"], "simplexity: process: there is no '../mess3'; did you mean `mess3`?"),
        (["mess3", "--length", "0"], "`--length` must lie between 1 and 100,000, got 0"),
        (["mess3", "--length", "1000000000"], "`--length` must lie between 1 and 100,000, got 1000000000"),
        (["chain", "control_maps=[[0,1]]"], "simplexity: `control_maps.0`: must have 3 entries"),
        (
            ["chain", "variants=[[coin],[even_ones,coin]]", "control_maps=[[0,1]]"],
            "got 2 tokens with 2 states, and 2 with 1",
        ),
        (["MESS3"], "did you mean `mess3`?"),
        (["--length", "3"], "name a process, as in `simplexity process mess3`"),
        (["x=.1"], "name a process, as in `simplexity process mess3`"),
    ],
)
def test_mistakes_get_one_line(capfd, arguments, message):
    assert main(["process", *arguments]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("figure", "message"),
    [
        ("picture.txt", "`--figure` must end in .png or .pdf or .svg"),
        ("folder.png", "folder.png is a folder"),
        ("file/deep/picture.png", "file is not a folder"),
        ("closed/deep/picture.png", "closed is not writable"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_before_anything_is_computed(
    capfd, tmp_path, monkeypatch, figure, message
):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir()
    # To root every folder is writable.
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "closed")
    assert main(["process", "mess3", "--figure", str(tmp_path / figure)]) == 2
    out, error = capfd.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert message in error


@pytest.mark.parametrize("name", ["even_ones", "coin"])
def test_the_picture(capfd, tmp_path, name):
    path = tmp_path / "figures" / "process.png"
    assert main(["process", name, "--length", "1", "--figure", str(path)]) == 0
    assert capfd.readouterr().out.endswith(f"picture: {path}\n")
    svg = path.with_suffix(".svg").read_text()
    assert "recurrent states" in svg
    assert ("mixed states" in svg) == (name != "coin")


@pytest.mark.parametrize(
    ("factor", "count", "reason"),
    [
        ("even_ones", 8, "after one token there may be more mixed states than the 117 that are followed"),
        ("coin", 4, "there is one mixed state, with more arrows to itself (16) than can be told apart"),
    ],
)
def test_why_there_is_no_picture(capfd, tmp_path, factor, count, reason):
    factors = f"factors=[{', '.join([f'{{{factor}: {{}}}}'] * count)}]"
    assert main(["process", "product", factors, "--length", "1", "--figure", str(tmp_path / "process.png")]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[-1] == f"no picture: {reason}"
    assert not list(tmp_path.iterdir())


def test_no_line_is_wider_than_a_terminal(capfd):
    assert main(["process", "matching_parens", "--length", "2"]) == 0
    assert max(map(len, capfd.readouterr().out.splitlines())) <= 80


def test_texts():
    assert estimate_text(1.3678, 0.0021) == estimate_text(*rounded(1.3678, 0.0021)) == "1.368 ± 0.002"
    assert estimate_text(1.3678, 1e-7) == estimate_text(*rounded(1.3678, 1e-7)) == "1.36780"
    mixture = {
        "_target_": "package.nonergodic",
        "weights": [0.5, 0.5],
        "components": [{"_target_": "p.coin", "p": 0.3}],
    }
    assert value_text(mixture) == "nonergodic(weights=[0.5, 0.5], components=[coin(p=0.3)])"
