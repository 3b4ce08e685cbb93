"""Sweeps over a grid, from the command line to the configs of the runs."""

import pytest


def test_a_grid_launches_every_combination_once(start, body, site):
    rates = "training.optimizer.instance.learning_rate=0.01,0.001"
    assert start("seed=3", "--multirun", "hydra/launcher=basic", rates, "training_data_generator=mess3,site_coin") == 0
    chosen = {
        (config.training.optimizer.instance.learning_rate, config.training_data_generator.instance._target_)
        for config in body.configs
    }
    assert len(body.configs) == len(chosen) == 4
    assert {config.seed for config in body.configs} == {3}
    assert {path.name for path in body.run_dirs} == set("0123")


ZIPPED = (
    "hydra.sweeper.zip=[[training_data_generator,predictive_model.instance.hidden_size]]",
    "training_data_generator=mess3,site_coin",
    "predictive_model.instance.hidden_size=16,32",
)


def test_keys_that_are_swept_over_together(start, body):
    assert start("--multirun", "hydra/launcher=basic", "seed=1,2", *ZIPPED) == 0
    chosen = [
        (
            config.seed,
            config.training_data_generator.instance._target_.rpartition(".")[2],
            config.predictive_model.instance.hidden_size,
        )
        for config in body.configs
    ]
    assert chosen == [(1, "mess3", 16), (1, "coin", 32), (2, "mess3", 16), (2, "coin", 32)]


def test_values_that_fit_only_together_are_checked_together(start, body):
    instance = "predictive_model.instance"
    zipped = (
        f"hydra.sweeper.zip=[[predictive_model,{instance}.num_heads,{instance}.model_size],[seed,training.batch_size]]"
    )
    axes = (
        "predictive_model=glob([attention*,transformer])",
        f"{instance}.num_heads=2,3",
        f"{instance}.model_size=4,9",
    )
    seeds = ("seed=range(0, 2)", "training.batch_size=8,16")
    assert start("--multirun", "hydra/launcher=basic", zipped, *axes, *seeds) == 0
    sizes = [
        (one.predictive_model.instance.num_heads, one.predictive_model.instance.model_size) for one in body.configs
    ]
    assert sizes == [(2, 4)] * 2 + [(3, 9)] * 2
    assert [(one.seed, one.training.batch_size) for one in body.configs] == [(0, 8), (1, 16)] * 2


@pytest.mark.parametrize(
    ("zipped", "message"),
    [
        ("[[seed,training.batch_size]]", "needs as many values of each key: seed has 2, training.batch_size has 3"),
        ("[[seed,training.log_every]]", "names training.log_every, which is not swept over"),
        ("[[seed],[seed]]", "must have each key once, got seed twice"),
        ("seed", "must be a list"),
    ],
)
def test_a_mistake_in_what_is_swept_over_together_is_one_line(start, body, site, zipped, message, capfd):
    command = (f"hydra.sweeper.zip={zipped}", "seed=1,2", "training.batch_size=8,16,32")
    assert start("--multirun", *command) == 2
    error = capfd.readouterr().err.strip()
    assert "hydra.sweeper.zip" in error
    assert message in error
    assert not (site / "multirun").exists()


def test_names_in_the_sweepers_parameters_of_a_study(start, body, site):
    study = site.parent / "site/study/processes.yaml"
    study.parent.mkdir()
    parameters = "{training_data_generator: 'mess3,site_coin'}"
    study.write_text(f"# @package _global_\nhydra: {{sweeper: {{params: {parameters}}}}}\n")
    assert start("--multirun", "hydra/launcher=basic", "+study=processes") == 0
    assert len({config.training_data_generator.instance._target_ for config in body.configs}) == 2
