"""`simplexity analyze`: what it writes and prints, that the same is written again, and its mistakes."""

import json
import shutil

import pytest

from simplexity.cli import main
from simplexity.persistence import saved_steps
from simplexity.running import analyze_run
from simplexity.runs import RunDirectory, read_json_lines


@pytest.fixture
def run_dir(uninterrupted, tmp_path):
    return shutil.copytree(uninterrupted("gru"), tmp_path / "run")


def test_the_newest_saved_model_and_then_all(run_dir, capfd):
    assert main(["analyze", str(run_dir), "--length", "4"]) == 0
    printed = capfd.readouterr().out
    assert "step 30: R2 0." in printed
    assert "controls: untrained 0." in printed
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
    assert [line["step"] for line in lines] == saved_steps(RunDirectory(run_dir))
    # The same model gives the same numbers, to the last digit, and the same pictures; and there are some of all steps.
    assert lines[-1] == line
    over_training = [figures / f"analysis_over_training.{suffix}" for suffix in ("png", "svg")]
    of_all_steps = [*over_training, *(figures / f"kl_by_position.{suffix}" for suffix in ("png", "svg"))]
    files |= {path: path.read_bytes() for path in of_all_steps}
    assert {path: path.read_bytes() for path in figures.iterdir()} == files
    shutil.rmtree(figures)
    assert main(["plot", str(run_dir)]) == 0
    assert capfd.readouterr().out.splitlines()[-6:] == [*pictures, str(over_training[0])]
    assert {path: path.read_bytes() for path in figures.iterdir()} == files
    assert "NaN" not in path.read_text()


def test_beliefs_that_do_not_change_have_no_r2(run_dir, capfd):
    config = run_dir / "config.yaml"
    text = config.read_text()
    config.write_text(text.replace("simplexity.generative_processes.mess3", f"{__name__}.constant_beliefs"))
    assert analyze_run(run_dir, length=3) is not None
    (line,) = read_json_lines(RunDirectory(run_dir).analysis_path)
    assert {row["r2"] for row in line["regressions"]} == {None}
    json.loads(RunDirectory(run_dir).analysis_path.read_text(), parse_constant=pytest.fail)
    assert "step 30: belief states never change" in capfd.readouterr().out


def constant_beliefs(x: float, a: float):
    """A process of three tokens whose belief state no token changes."""
    import numpy as np

    from simplexity.generative_processes import HMM

    return HMM(np.full((3, 1, 1), 1 / 3))


@pytest.mark.parametrize(("steps", "kept"), [("newest", "nothing was written"), ("all", "the steps that are printed")])
def test_an_analysis_by_hand_that_is_interrupted_writes_nothing_and_says_so(run_dir, steps, kept, capfd, monkeypatch):
    monkeypatch.setattr("simplexity.host.PreemptionGuard.requested", lambda guard: True)
    assert main(["analyze", str(run_dir), "--length", "3", "--steps", steps]) == 1
    assert not RunDirectory(run_dir).analysis_path.exists()
    assert capfd.readouterr().err.splitlines()[-1].startswith(f"interrupted: {kept}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--length", "0"], "`length` must be at least 1"), (["--steps", "some"], "invalid choice")],
)
def test_mistakes_are_one_line(run_dir, arguments, message, capfd):
    try:
        code = main(["analyze", str(run_dir), *arguments])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert message in capfd.readouterr().err


def test_several_mistakes_are_a_line_each(tmp_path, capfd):
    (tmp_path / "config.yaml").write_text("seed: -1\n")
    assert main(["analyze", str(tmp_path)]) == 2
    first, *others = capfd.readouterr().err.splitlines()
    assert first == f"simplexity: the config has {len(others)} mistakes:"
    assert "  `seed`: must lie in [0, 4294967295], got -1" in others


def test_a_folder_without_a_run(tmp_path, capfd):
    assert main(["analyze", str(tmp_path)]) == 2
    assert "is not a run directory" in capfd.readouterr().err
