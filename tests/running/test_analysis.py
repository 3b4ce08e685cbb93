"""`simplexity analyze`: what it writes into a run's folder, and that the same is written again."""

import json
import shutil

import pytest

from simplexity.cli import main
from simplexity.running import analyze_run
from simplexity.runs import RunDirectory, read_json_lines


@pytest.fixture
def run_dir(uninterrupted, tmp_path):
    return shutil.copytree(uninterrupted("gru"), tmp_path / "run")


def test_the_newest_saved_model_and_then_all(run_dir, capfd):
    assert main(["analyze", str(run_dir), "--length", "4"]) == 0
    printed = capfd.readouterr().out
    assert "belief states: R2 0." in printed
    assert "(untrained model 0." in printed
    pictures = [line.partition(": ")[2] for line in printed.splitlines() if line.startswith("picture: ")]
    names = ["loss", "kl_by_position", "belief_states", "belief_regression", "explained_variance"]
    assert [path.rpartition("/")[2] for path in pictures] == [f"{name}.png" for name in names]
    figures = RunDirectory(run_dir).figures_path
    files = {path: path.read_bytes() for path in figures.iterdir()}
    assert {path.name for path in files} == {f"{name}.{suffix}" for name in names for suffix in ("png", "svg")}
    path = RunDirectory(run_dir).analysis_path
    (line,) = read_json_lines(path)
    assert (line["step"], line["length"], line["num_words"], line["num_drawn"]) == (30, 4, 3 + 9 + 27 + 81, None)
    rows = {(row["kind"], row["features"]): row["r2"] for row in line["regressions"]}
    assert rows["trained", "layer_0"] < rows["control", "next-token probabilities"]
    assert sum(line["explained_variance"]["layer_0"]) == pytest.approx(1)

    assert main(["analyze", str(run_dir), "--length", "4", "--steps", "all"]) == 0
    lines = read_json_lines(path)
    assert [line["step"] for line in lines] == [7, 14, 21, 28, 30][-len(lines) :]
    assert len(lines) > 1
    # The same model gives the same numbers, to the last digit, and the same pictures.
    assert lines[-1] == line
    assert {path: path.read_bytes() for path in figures.iterdir()} == files
    shutil.rmtree(figures)
    assert main(["plot", str(run_dir)]) == 0
    assert capfd.readouterr().out.splitlines()[-5:] == pictures
    assert {path: path.read_bytes() for path in figures.iterdir()} == files
    assert "NaN" not in path.read_text()


def test_beliefs_that_do_not_change_have_no_r2(run_dir):
    config = run_dir / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("simplexity.generative_processes.mess3", f"{__name__}.constant_beliefs"))
    assert analyze_run(run_dir, length=3) is not None
    (line,) = read_json_lines(RunDirectory(run_dir).analysis_path)
    assert {row["r2"] for row in line["regressions"]} == {None}
    json.loads(RunDirectory(run_dir).analysis_path.read_text(), parse_constant=pytest.fail)


def constant_beliefs(x: float, a: float):
    """A process of three tokens whose belief state no token changes."""
    import numpy as np

    from simplexity.generative_processes import HMM

    return HMM(np.full((3, 1, 1), 1 / 3))


def test_an_analysis_that_is_interrupted_writes_nothing(run_dir):
    assert analyze_run(run_dir, length=3, interrupted=lambda: True) is None
    assert not RunDirectory(run_dir).analysis_path.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--length", "0"], "`length` must be at least 1"), (["--steps", "some"], "invalid choice")],
)
def test_mistakes_are_one_line(run_dir, arguments, message, capfd):
    try:
        code = main(["analyze", str(run_dir), *arguments])
    except SystemExit as leaving:
        code = leaving.code
    assert code == 2
    assert message in capfd.readouterr().err


def test_a_folder_without_a_run(tmp_path, capfd):
    assert main(["analyze", str(tmp_path)]) == 2
    assert "is not a run directory" in capfd.readouterr().err
