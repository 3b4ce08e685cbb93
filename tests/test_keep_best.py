"""`persistence.instance.keep_best` in whole runs: the best model stays, also that of a run that was killed."""

import equinox as eqx
import pytest

import simplexity as sx
from simplexity.cli import main
from simplexity.composition import compose
from simplexity.running import check_by_building
from simplexity.runs import RunDirectory, best_saved_step

from .small_runs import assert_same_run, metric_lines, run

# A rate that grows beyond all measure: the best model is not among the newest.
KEEPING = (
    "persistence.instance.keep_best=true",
    "persistence.instance.max_to_keep=2",
    "persistence.snapshots.steps=[]",
    "training.optimizer.instance.learning_rate=0.01",
    "training.schedule={_target_: optax.linear_schedule, init_value: 0.0, end_value: 300.0, transition_steps: 30}",
    "validation.every=5",
)


@pytest.fixture(scope="module")
def kept(runner, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    done = runner.run(folder, "gru", *KEEPING)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_best_model_is_kept_named_and_read(kept, capfd):
    losses = {line["step"]: line["validation_loss"] for line in metric_lines(kept) if "validation_loss" in line}
    step = min(losses, key=losses.__getitem__)
    assert step < sorted(losses)[-2]
    best = best_saved_step(RunDirectory(kept))
    assert best == (step, losses[step])
    opened = sx.load_run(kept)
    assert step in opened.saved_steps
    assert eqx.tree_equal(opened.model(step="best"), opened.model(step=step))
    assert not eqx.tree_equal(opened.model(step="best"), opened.model())
    assert main(["show", str(kept)]) == 0
    assert f"best saved step {step:,}: validation loss " in capfd.readouterr().out


@pytest.mark.parametrize(("phase", "count"), [("mid_chunk", 4), ("save_before_commit", 2), ("save_after_commit", 2)])
def test_a_run_that_was_killed_keeps_the_same(phase, count, kept, runner, cache, tmp_path):
    assert run(tmp_path, "gru", *KEEPING, stop_at=(phase, "SIGKILL", count), cache=cache).returncode < 0
    assert runner.run(tmp_path, "gru", *KEEPING).returncode == 0
    assert_same_run(tmp_path, kept)
    assert best_saved_step(RunDirectory(tmp_path)) == best_saved_step(RunDirectory(kept))


def test_without_validation_there_is_no_best():
    config = compose("experiment", ["persistence.instance.keep_best=true", "validation=null"])
    (problem,) = check_by_building(config)
    assert problem.path == "persistence.instance.keep_best"
    assert problem.message.startswith("needs validations")


@pytest.mark.parametrize("key", ["keep_best=true", "keep_every_steps=100"])
@pytest.mark.parametrize("chosen", ["compact", "weights"])
def test_what_is_told_to_stay_is_not_told_to_go(key, chosen):
    config = compose("experiment", [f"persistence.instance.{key}", f"persistence.on_complete={chosen}"])
    (problem,) = check_by_building(config)
    assert (problem.path, "set auto or keep" in problem.message) == ("persistence.on_complete", True)
