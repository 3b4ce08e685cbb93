"""The Optuna sweeper, from the command line to its results file."""

import re
import sys

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from simplexity.runs import RunDirectory, RunLock
from tests.running.program import call_program

# Each composes several searches, which takes half a minute for all of them.
pytestmark = pytest.mark.slow

RATE = "training.optimizer.instance.learning_rate"


@pytest.fixture
def search(site, body, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run_experiment.py"])

    def _search(*arguments):
        return call_program("experiment", "--multirun", "hydra/sweeper=optuna", "hydra/launcher=basic", *arguments)

    return _search


def results_of(site):
    (path,) = site.glob("multirun/*/*/optimization_results.yaml")
    return OmegaConf.load(path)


def test_the_configured_search_covers_its_four_keys(search, body, site):
    assert search("hydra.sweeper.n_trials=2", "seed=9") == 0
    results = results_of(site)
    losses = [abs(config.training.optimizer.instance.learning_rate - 0.003) for config in body.configs]
    assert results.best_loss == pytest.approx(min(losses))
    assert results.best_run == losses.index(min(losses))
    assert set(results.best_params) == {
        RATE,
        "training.batch_size",
        "predictive_model.instance.hidden_size",
        "predictive_model.instance.num_layers",
    }
    assert isinstance(results.best_params["training.batch_size"], int)
    assert {config.seed for config in body.configs} == {9}


def test_the_command_line_replaces_and_extends_the_search(search, body, site):
    arguments = [f"{RATE}=0.01", "training_data_generator=site_coin,mess3", "hydra.sweeper.n_jobs=2"]
    assert search("hydra.sweeper.n_trials=2", *arguments) == 0
    assert len(body.configs) == 2
    assert {config.training.optimizer.instance.learning_rate for config in body.configs} == {0.01}
    assert RATE not in results_of(site).best_params


def test_a_failed_run_is_no_end(search, body, site):
    def fail(config):
        if len(body.configs) == 1:
            raise RuntimeError("out of memory")

    body.fail = fail
    assert search("hydra.sweeper.n_trials=2") == 0
    assert results_of(site).failed_runs == [0]


def test_a_search_in_which_all_runs_fail(search, body, site, capfd):
    def fail(config):
        raise RuntimeError("out of memory")

    body.fail = fail
    assert search("hydra.sweeper.n_trials=2") == 1
    assert "every run of the search failed" in capfd.readouterr().err


@pytest.fixture
def stored(site):
    return ["hydra.sweeper.study_name=s", f"hydra.sweeper.storage={site / 'study.log'}"]


def rates(body):
    return [config.training.optimizer.instance.learning_rate for config in body.configs]


def at(site, folder):
    return OmegaConf.load(site / folder / "optimization_results.yaml")


def test_a_stored_study_goes_on_in_another_folder(search, body, site, stored):
    assert search("hydra.sweeper.n_trials=4", "hydra.sweep.dir=whole") == 0
    whole = rates(body)
    body.configs.clear()
    assert search(*stored, "hydra.sweeper.n_trials=2", "hydra.sweep.dir=a") == 0
    assert search(*stored, "hydra.sweeper.n_trials=2", "hydra.sweep.dir=b") == 0
    assert rates(body) == whole
    assert at(site, "b").best_loss == at(site, "whole").best_loss
    assert at(site, "b").num_runs == 2


def test_an_interrupted_search_goes_on_in_its_folder(search, body, site, stored):
    def kill(config):
        if len(body.configs) == 2:
            raise KeyboardInterrupt

    body.fail = kill
    with pytest.raises(KeyboardInterrupt):
        search(*stored, "hydra.sweeper.n_trials=3", "hydra.sweep.dir=a")
    assert search(*stored, "hydra.sweeper.n_trials=3", "hydra.sweep.dir=a") == 0
    assert [path.name for path in body.run_dirs] == ["0", "1", "1", "2"]
    assert rates(body)[1] == rates(body)[2]
    assert at(site, "a").num_runs == 3
    assert search(*stored, "hydra.sweeper.n_trials=3", "hydra.sweep.dir=a") == 0
    assert len(body.run_dirs) == 4


def states(site):
    study = optuna.load_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(site / "study.log"))), sampler=None
    )
    return [trial.state.name for trial in study.trials], [trial.value for trial in study.trials]


@pytest.mark.parametrize("went_on", [False, True])
def test_the_trials_of_dead_searches_are_closed_by_the_next(search, body, site, stored, went_on):
    def kill(config):
        raise KeyboardInterrupt

    body.fail = kill
    with pytest.raises(KeyboardInterrupt):
        search(*stored, "hydra.sweeper.n_trials=1", "hydra.sweep.dir=a")
    if went_on:
        RunDirectory(site / "a/0").mark_complete(1, 0.5)
    body.fail = None
    with RunLock(site / "a/search"):
        assert search(*stored, "hydra.sweeper.n_trials=1", "hydra.sweep.dir=b") == 0
        assert states(site)[0] == ["RUNNING", "COMPLETE"]
    assert search(*stored, "hydra.sweeper.n_trials=1", "hydra.sweep.dir=c") == 0
    assert states(site)[0] == ["COMPLETE" if went_on else "FAIL", "COMPLETE", "COMPLETE"]
    assert states(site)[1][0] == (0.5 if went_on else None)


@pytest.mark.parametrize("num_jobs", [1, 4])
def test_a_config_that_was_run_is_not_run_again(search, body, site, stored, num_jobs):
    fixed = [f"{RATE}=0.01,0.02", "predictive_model.instance.num_layers=1", "predictive_model.instance.hidden_size=8"]
    arguments = ["training.batch_size=8", *fixed, f"hydra.sweeper.n_jobs={num_jobs}"]
    assert search(*stored, *arguments, "hydra.sweeper.n_trials=6", "hydra.sweep.dir=a") == 0
    assert sorted(rates(body)) == [0.01, 0.02]
    assert (at(site, "a").num_runs, at(site, "a").num_reused, at(site, "a").best_run) == (2, 4, rates(body).index(0.01))
    assert search(*stored, *arguments, "hydra.sweeper.n_trials=2", "hydra.sweep.dir=b") == 0
    assert len(body.configs) == 2
    assert search(*stored, *arguments, "hydra.sweeper.n_trials=2", "hydra.sweep.dir=c", "seed=5") == 0
    assert len(body.configs) > 2


MISTAKES = [
    (["hydra.sweeper.direction=maximize"], "`hydra.sweeper.direction`: must be minimize, as in the stored study 's'"),
    (["training.batch_size=choice(1, 2)"], "`training.batch_size`: the stored study 's' has searched over choice(32"),
    (["hydra.sweeper.storage=no/folder/study.log"], "`hydra.sweeper.storage`: cannot be opened"),
    (["hydra.sweeper.storage=nosuch://x"], "`hydra.sweeper.storage`: cannot be opened"),
    ([f"{RATE}=tag(linear, interval(1, 2))"], f"`hydra.sweeper.params`: `{RATE}`: the search over"),
]


def test_a_search_that_cannot_be_is_refused_before_anything_is_written(search, body, site, stored, capfd):
    assert search(*stored, "hydra.sweeper.n_trials=1", "hydra.sweep.dir=a") == 0
    for arguments, says in MISTAKES:
        capfd.readouterr()
        assert search(*stored, "hydra.sweep.dir=b", *arguments) == 2
        said = capfd.readouterr().err
        assert says in said
        assert said.count("\n") == 1
        assert len(body.configs) == 1
        assert sorted(path.name for path in site.iterdir()) == ["a", "study.log"]


@pytest.mark.parametrize(
    ("model", "width"),
    [
        ("gru", "hidden_size"),
        ("transformer", "model_size"),
        ("attention_only", "model_size"),
        ("selective_ssm", "model_size"),
    ],
)
def test_the_packaged_search_space_follows_the_model(search, site, model, width):
    assert search(f"predictive_model={model}", "hydra.sweeper.n_trials=1") == 0
    assert f"predictive_model.instance.{width}" in results_of(site).best_params


def test_a_key_that_one_of_the_models_lacks_can_be_taken_out(search, body, site, capfd):
    models = "predictive_model=lstm,transformer"
    assert search(models, "hydra.sweeper.n_trials=3") == 2
    (remedy,) = re.findall(r"to take it out: '(.*)'$", capfd.readouterr().err)
    assert search(models, "hydra.sweeper.n_trials=3", remedy) == 0
    assert "predictive_model.instance.hidden_size" not in results_of(site).best_params
    assert len(body.configs) == 3


def test_a_search_over_nothing(search, body, capfd):
    fixed = [f"{key}=2" for key in ("training.batch_size", "predictive_model.instance.hidden_size")]
    assert search(f"{RATE}=0.1", "predictive_model.instance.num_layers=1", *fixed) == 2
    assert "nothing to search over" in capfd.readouterr().err
    assert body.configs == []
