"""Analyses in a run: what they write, that the same is written again, and what fails."""

import errno
import signal

import pytest

from simplexity.composition import ConfigError, check, compose
from simplexity.running import _analysis
from simplexity.running._analysis import Analysis, describe
from simplexity.running._build import build
from simplexity.runs import RunDirectory, read_json_lines
from tests.small_runs import ANALYSIS, assert_same_run, run

TINY = ("analysis.length=3", "predictive_model.instance.hidden_size=4", "training.num_train_steps=10")
OWN = f"+analysis.functions.probe={{_target_: {__name__}.largest_belief, power: 2}}"


def largest_belief(model, process, words, power: float):
    """A user's own analysis."""
    largest = words.beliefs.max(axis=1) ** power
    return {"mean": words.probabilities @ largest / words.probabilities.sum(), "few": largest[:2], "none": float("nan")}


def broken(model, process, words):
    return words.no_such_thing


def no_mapping(model, process, words):
    return 3


def without_words(model, process):
    return {}


def analysis_of(folder, *overrides):
    """An analysis, the model before the first step, and how to read what it wrote."""
    experiment = build(compose("experiment", [*TINY, *overrides]))
    directory = RunDirectory.create(folder)
    analysis = Analysis(directory, experiment, experiment.analysis)
    return analysis, experiment.initial_state().model, lambda: read_json_lines(directory.analysis_path)


def never():
    return False


def fail(error):
    if error is not None:
        raise error


def test_a_line_per_step_in_order_and_again_the_same(tmp_path, monkeypatch):
    analysis, model, lines = analysis_of(tmp_path / "a")
    assert analysis.observe(10, model, never)
    assert analysis.observe(5, model, never)
    assert [line["step"] for line in lines()] == [5, 10]
    first, last = lines()
    assert first | {"step": 10} == last
    assert last["dimensions"]["layer_0"].keys() == {"90", "95", "99"}
    # The model is the untrained one.
    assert last["best"]["r2"] == last["best"]["r2_untrained"]
    # A read error that passes ends no run.
    failures = iter([OSError(errno.EIO, "Input/output error", "analysis.jsonl")] * 2)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    again, model, _ = analysis_of(tmp_path / "b")
    monkeypatch.setattr(_analysis, "read_json_lines", lambda path: fail(next(failures, None)) or read_json_lines(path))
    for step in (5, 10, 5):
        assert again.observe(step, model, never)
    assert (tmp_path / "a" / "analysis.jsonl").read_bytes() == (tmp_path / "b" / "analysis.jsonl").read_bytes()


@pytest.mark.parametrize(("layer", "r2"), [("all layers", -0.123456), ("a layer with a name of its own", 1.0)])
def test_the_result_is_one_line_of_eighty_columns(layer, r2):
    text = describe({"best": {"features": layer, "r2": r2, "r2_untrained": -1.2, "r2_next_token": None}})
    assert text.startswith(f"R2 {r2:.3f} from {layer[:8]}")
    assert "untrained -1.200, next token none" in text
    assert len(f"beliefs: {text}") <= 80


def test_the_steps_of_an_analysis(tmp_path):
    analysis, *_ = analysis_of(tmp_path, "analysis.every=4")
    assert [analysis.next_due_step(step) for step in (-1, 0, 3, 4, 8, 9, 10)] == [4, 4, 4, 8, 10, 10, None]
    analysis, *_ = analysis_of(tmp_path)
    assert [analysis.next_due_step(step) for step in (-1, 0, 9, 10)] == [10, 10, 10, None]


def test_a_function_of_the_user_s_own(tmp_path, caplog):
    analysis, model, lines = analysis_of(
        tmp_path, OWN, f"+analysis.functions.broken._target_={__name__}.broken",
        f"+analysis.functions.three._target_={__name__}.no_mapping",
    )  # fmt: skip
    assert analysis.observe(10, model, never)
    (line,) = lines()
    assert line["functions"].keys() == {"probe"}
    assert 1 / 9 < line["functions"]["probe"]["mean"] < 1
    assert len(line["functions"]["probe"]["few"]) == 2
    assert line["functions"]["probe"]["none"] is None
    # What a function raises costs neither the run nor the other numbers.
    assert line["best"]["r2"] is not None
    assert line["errors"]["broken"].startswith("AttributeError: 'Words' object has no attribute 'no_such_thing' (")
    assert f"{__file__}, line " in line["errors"]["broken"]
    assert "must return a mapping from names to numbers, got a int" in line["errors"]["three"]
    analysis.observe(10, model, never)
    assert [record.levelname for record in caplog.records if "analysis.functions.broken" in record.message] == [
        "WARNING"
    ]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (f"+analysis.functions.a._target_={__name__}.without_words", "must take the parameter `words`"),
        (f"+analysis.functions.a._target_={__name__}.no_such_function", "has no `no_such_function`"),
        (f"+analysis.functions.a={{_target_: {__name__}.largest_belief}}", "`analysis.functions.a.power`: is missing"),
        (f"+analysis.functions.a={{_target_: {__name__}.broken, k: 1}}", "`analysis.functions.a.k`: unknown key"),
        ("analysis.length=0", "`analysis.length`: must be at least 1, got 0"),
        ("analysis.every=0.5", "`analysis.every`: must be an integer or null"),
        ("analysis.also_without_bos=2", "`analysis.also_without_bos`: must be"),
    ],
)
def test_mistakes_are_found_before_anything_starts(override, message):
    (problem,) = check(compose("experiment", [override]))
    assert message in str(problem)


def test_the_model_is_analysed_once_more_without_bos(tmp_path):
    wanted = "analysis.also_without_bos=true"
    analysis, model, lines = analysis_of(tmp_path, wanted, "training_data_generator.bos_token=auto")
    assert analysis.observe(10, model, never)
    (line,) = lines()
    assert line["without_bos"].keys() == {"best", "regressions"}
    assert line["without_bos"]["best"] != line["best"]
    with pytest.raises(ConfigError, match=r"`analysis.also_without_bos`: must be false: the training data has no BOS"):
        build(compose("experiment", [*TINY, wanted]))


def test_an_analysis_that_fails_costs_no_run(tmp_path):
    process = f"training_data_generator.instance._target_={__name__}.one_word"
    analysis, model, lines = analysis_of(tmp_path, process)
    assert analysis.observe(10, model, never)
    assert "only one word" in str(analysis.summary)
    assert lines() == []
    with pytest.raises(ValueError, match="only one word"):
        analysis.analyze(10, model, never)


def one_word(x: float, a: float):
    """A process that has one word of each length."""
    import numpy as np

    from simplexity.generative_processes import HMM

    return HMM(np.ones((1, 1, 1)))


def test_an_analysis_that_takes_long_says_that_it_is_running(tmp_path, monkeypatch, caplog):
    # Of a process whose controls no other test has computed.
    analysis, model, lines = analysis_of(tmp_path, "training_data_generator.instance.x=0.31")
    monkeypatch.setattr(_analysis, "_REPORT_EVERY_S", 0.0)
    with caplog.at_level("INFO", "simplexity"):
        assert analysis.observe(5, model, never)
    reported = [message for message in caplog.messages if message.startswith("still analysing, after ")]
    # Before each of the regressions at least.
    assert len(reported) >= len(lines()[0]["regressions"])


def test_an_analysis_that_is_interrupted_writes_nothing(tmp_path):
    analysis, model, lines = analysis_of(tmp_path)
    assert not analysis.observe(5, model, lambda: True)
    assert lines() == []
    # The last one of a run without checkpoints is not interrupted: the training would be lost.
    experiment = build(compose("experiment", TINY))
    unsaved = Analysis(RunDirectory(tmp_path), experiment, experiment.analysis, saves=False)
    assert unsaved.observe(10, model, lambda: True)
    assert [line["step"] for line in lines()] == [10]


@pytest.fixture(scope="module")
def analysed(tmp_path_factory, runner):
    """An uninterrupted run with analyses during training."""
    folder = tmp_path_factory.mktemp("analysed") / "run"
    done = runner.run(folder, "gru", *ANALYSIS, OWN)
    assert done.returncode == 0, done.stderr
    assert [line["step"] for line in read_json_lines(RunDirectory(folder).analysis_path)] == [10, 20, 30]
    return folder


@pytest.mark.parametrize(
    ("signal_name", "phase", "count"),
    [
        ("SIGTERM", "analysis", 2),
        ("SIGTERM", "analysis", 3),
        ("SIGKILL", "analysis", 2),
        ("SIGKILL", "analysis_regressed", 2),
    ],
)
def test_a_run_that_is_stopped_in_an_analysis_writes_the_same_lines(
    signal_name, phase, count, analysed, uninterrupted, runner, cache, tmp_path
):
    stop = {"stop_at": (phase, signal_name, count), "variables": {"PYTHONPATH": "."}}
    exit_code = run(tmp_path / "run", "gru", *ANALYSIS, OWN, cache=cache, **stop).returncode
    assert exit_code == (85 if signal_name == "SIGTERM" else -signal.SIGKILL)
    path = RunDirectory(tmp_path / "run").analysis_path
    assert len(read_json_lines(path)) == count - 1
    assert runner.run(tmp_path / "run", "gru", *ANALYSIS, OWN).returncode == 0
    assert path.read_bytes() == RunDirectory(analysed).analysis_path.read_bytes()
    # And a run computes the same with analyses as without.
    assert_same_run(tmp_path / "run", uninterrupted("gru"))
