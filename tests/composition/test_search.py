"""The Optuna sweeper, from the command line to its results file."""

import sys

import pytest
from omegaconf import OmegaConf

from simplexity.cluster import PreemptionGuard
from simplexity.composition._entrypoint import run

RATE = "training.optimizer.instance.learning_rate"


@pytest.fixture
def search(site, body, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run_experiment.py"])

    def _search(*arguments):
        return run(
            "experiment", ["--multirun", "hydra/sweeper=optuna", "hydra/launcher=basic", *arguments], PreemptionGuard()
        )

    return _search


def results_of(site):
    (path,) = site.glob("multirun/*/*/optimization_results.yaml")
    return OmegaConf.load(path)


def test_the_configured_search_covers_its_four_keys(search, body, site):
    assert search("hydra.sweeper.n_trials=4", "seed=9") == 0
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
    assert search("hydra.sweeper.n_trials=3", *arguments) == 0
    assert len(body.configs) == 3
    assert {config.training.optimizer.instance.learning_rate for config in body.configs} == {0.01}
    assert RATE not in results_of(site).best_params


def test_a_failed_run_is_no_end(search, body, site):
    def fail(config):
        if len(body.configs) == 1:
            raise RuntimeError("out of memory")

    body.fail = fail
    assert search("hydra.sweeper.n_trials=3") == 0
    assert results_of(site).failed_runs == [0]


def test_a_search_in_which_all_runs_fail(search, body, site, capfd):
    def fail(config):
        raise RuntimeError("out of memory")

    body.fail = fail
    assert search("hydra.sweeper.n_trials=2") == 1
    assert "all 2 runs of the search failed" in capfd.readouterr().err


def test_a_stored_study_goes_on(search, site):
    stored = ["hydra.sweeper.n_trials=1", "hydra.sweeper.study_name=s", f"hydra.sweeper.storage={site / 'study.log'}"]
    assert search(*stored, "hydra.sweep.dir=multirun/a/1") == 0
    assert search(*stored, "hydra.sweep.dir=multirun/a/2", "hydra.sweeper.seed=1") == 0
    first, second = (OmegaConf.load(site / f"multirun/a/{n}/optimization_results.yaml") for n in (1, 2))
    assert second.best_loss <= first.best_loss
    assert second.num_runs == 1


def test_a_search_over_nothing(search, body, capfd):
    fixed = [f"{key}=2" for key in ("training.batch_size", "predictive_model.instance.hidden_size")]
    assert search(f"{RATE}=0.1", "predictive_model.instance.num_layers=1", *fixed) == 2
    assert "nothing to search over" in capfd.readouterr().err
    assert body.configs == []
