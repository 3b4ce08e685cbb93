"""What the analyses of a worker's runs have in common: computed by the first, and the same for the others."""

from collections import OrderedDict

import jax
import pytest

from simplexity.analysis import RegressionProblem
from simplexity.composition import compose
from simplexity.running import _kept_problem
from simplexity.running._analysis import Analysis
from simplexity.running._build import build
from simplexity.running._kept_problem import problems_of
from simplexity.running._kept_programs import values_of
from simplexity.runs import RunDirectory, read_json_lines

TINY = ("analysis.length=3", "predictive_model.instance.hidden_size=4", "training.num_train_steps=10")


@pytest.fixture(autouse=True)
def no_problems(monkeypatch):
    monkeypatch.setattr(_kept_problem, "_kept", OrderedDict())


def problem_of(*overrides):
    experiment = build(compose("experiment", [*TINY, *overrides]))
    return problems_of(experiment.generator, experiment.analysis).problem


def spoil(model, process, words):
    words.beliefs[:] = 0
    return {}


@pytest.fixture
def lines_of(tmp_path):
    """Analyses the untrained model of a config -> the text of analysis.jsonl."""
    numbers = iter(range(9))

    def lines(*overrides):
        experiment = build(compose("experiment", [*TINY, *overrides]))
        directory = RunDirectory.create(tmp_path / f"{next(numbers)}")
        assert Analysis(directory, experiment, experiment.analysis).observe(
            10, experiment.initial_state().model, lambda: False
        )
        return read_json_lines(directory.analysis_path)

    return lines


def test_runs_that_differ_in_their_models_have_one_problem():
    first = problem_of("seed=1")
    assert problem_of("seed=2", "predictive_model.instance.hidden_size=3") is first


@pytest.mark.parametrize(
    "override",
    [
        "training_data_generator.instance.x=0.2",
        "training_data_generator=rrxor",
        "training_data_generator.bos_token=null",
        "analysis.also_without_bos=true",
        "analysis.length=4",
        "analysis.max_words=20",
    ],
)
def test_another_process_or_other_words_are_another_problem(override):
    bos = "training_data_generator.bos_token=auto"
    first = problem_of(bos)
    assert problem_of(bos, override) is not first
    assert problem_of(bos) is first


def test_as_many_problems_are_kept_as_take_so_much_memory(monkeypatch):
    def words_of(*overrides):
        problem = problem_of(*overrides)
        return problem, problem.words

    first, _ = words_of()
    other, _ = words_of("training_data_generator=rrxor")
    assert problem_of() is first
    monkeypatch.setattr(_kept_problem, "_MOST_BYTES", first.num_bytes)
    assert problem_of() is first
    assert problem_of("training_data_generator=rrxor") is not other


def test_random_keys_of_a_process_are_compared_by_their_numbers():
    one, same, other = (values_of({"key": jax.random.key(seed)})[0].tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_a_second_run_computes_no_control_anew_and_has_the_line_that_it_has_alone(lines_of, monkeypatch):
    alone = lines_of("seed=2")
    _kept_problem._kept.clear()
    lines_of("seed=1")
    kinds, rows = [], RegressionProblem.rows

    def recorded(problem, features, kind, *rest):
        kinds.append(kind)
        return rows(problem, features, kind, *rest)

    monkeypatch.setattr(RegressionProblem, "rows", recorded)
    assert lines_of("seed=2") == alone
    assert set(kinds) == {"trained", "shuffled", "untrained"}


def test_a_function_that_writes_into_the_words_changes_no_later_run(lines_of):
    alone = lines_of("seed=2")
    _kept_problem._kept.clear()
    lines_of("seed=1", f"+analysis.functions.spoil={{_target_: {__name__}.spoil}}")
    assert lines_of("seed=2") == alone


def test_only_so_many_problems_are_kept_before_any_is_computed(monkeypatch):
    monkeypatch.setattr(_kept_problem, "_MOST", 2)
    first = problem_of("seed=1")
    problem_of("analysis.length=4")
    problem_of("analysis.length=5")
    assert len(_kept_problem._kept) == 2
    assert problem_of("seed=1") is not first
