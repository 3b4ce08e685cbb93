"""The user's own metrics (`validation.functions`): from a config into metrics.jsonl, results and figures."""

import sys

import jax
import numpy as np
import pytest

from simplexity.composition import check, compose
from simplexity.figures import draw_run
from simplexity.runs import RunDirectory, read_json_lines
from tests.running.program import call_program
from tests.small_runs import GRU, SCRIPT, SMALL, WALL_CLOCK

OWN = f"+validation.functions.probe={{_target_: {__name__}.weights, power: 2}}"
BROKEN = f"+validation.functions.broken._target_={__name__}.broken"


def weights(*, state, scores, power: float):
    sizes = [np.abs(leaf).mean() for leaf in jax.tree.leaves(state.initial_parameters)]
    return {"size": float(np.mean(sizes)) ** power, "first_kl": scores.kl_per_position[0], "few": [int(state.step), 2]}


def broken(*, state, scores):
    return state.no_such_thing


def without_scores(*, state):
    return {}


def train(run_dir, *overrides):
    given = {override.partition("=")[0] for override in overrides}
    small = [override for override in SMALL if override.partition("=")[0] not in given]
    code = call_program("experiment", *small, *GRU, OWN, f"hydra.run.dir={run_dir}", *overrides)
    lines = read_json_lines(RunDirectory(run_dir).metrics_path)
    return code, [{name: value for name, value in line.items() if name not in WALL_CLOCK} for line in lines]


@pytest.mark.slow
def test_own_metrics_are_logged_at_each_validation_and_drawn_also_by_a_resumed_run(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    code, whole = train(tmp_path / "whole", BROKEN)
    output = capfd.readouterr()
    assert code == 0, output.err
    assert (output.out + output.err).count("validation.functions.broken failed: AttributeError: ") == 1
    validated = [line for line in whole if "validation_kl" in line]
    assert [line["step"] for line in validated] == [10, 20, 30]
    assert all(line["probe.first_kl"] == line["validation_kl_per_position"][0] for line in validated)
    assert [line["probe.few"] for line in validated] == [[10, 2], [20, 2], [30, 2]]
    assert [line for line in whole if "probe.size" in line] == validated
    assert tmp_path / "whole/figures/validation_functions.png" in draw_run(RunDirectory(tmp_path / "whole"))

    assert train(tmp_path / "parts", "training.num_train_steps=10")[0] == 0
    # A metric that is added does not keep a run from being resumed.
    assert train(tmp_path / "parts", BROKEN) == (0, whole)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (f"+validation.functions.a._target_={__name__}.without_scores", "must take the parameter `scores`"),
        (f"+validation.functions.a._target_={__name__}.no_such_function", "has no `no_such_function`"),
        (f"+validation.functions.a._target_={__name__}.weights", "`validation.functions.a.power`: is missing"),
        (f"+validation.functions.a={{_target_: {__name__}.broken, k: 1}}", "`validation.functions.a.k`: unknown key"),
    ],
)
def test_mistakes_are_found_before_anything_starts(override, message):
    (problem,) = check(compose("experiment", [override]))
    assert message in str(problem)
