"""What a start of the program does before and after the training, which a stand-in replaces."""

import logging
import re

import pytest
from omegaconf import OmegaConf

from tests.running.program import python


def test_a_run_leaves_its_config_and_its_log(start, body, site):
    assert start("training_data_generator=site_coin", "seed=7") == 0
    (run_dir,) = site.glob("outputs/*/*")
    assert body.run_dirs == [run_dir]
    assert body.configs[0].seed == 7
    assert (run_dir / ".hydra/overrides.yaml").exists()
    assert (run_dir / "run_experiment.log").exists()


def test_a_config_is_checked_and_built_once_per_start(start, body, monkeypatch):
    from simplexity.running import _entrypoint, _start

    checked = []
    for module in (_entrypoint, _start):
        monkeypatch.setattr(module, "check", lambda config: checked.append(config) or [])
    assert start() == 0
    assert len(checked) == len(body.built) == 1
    assert body.executed == body.built
    # Each run of a sweep has a config of its own, which was not checked before the run starts.
    assert start("--multirun", "hydra/launcher=basic", "seed=1,2") == 0
    assert len(checked) == 3
    assert body.executed[1:] == [None, None]


def test_a_primary_config_of_an_earlier_version_names_the_check_and_is_checked_once(start, body, site, capfd):
    (site.parent / "site/mine.yaml").write_text(
        "defaults:\n  - experiment\n  - override hydra/callbacks: check\n  - _self_\nseed: 4\n"
    )
    assert start("--config-name", "mine") == 0
    assert (body.configs[0].seed, len(body.built)) == (4, 1)
    assert start("--config-name", "mine", "seed=-1") == 2
    assert capfd.readouterr().err.startswith("`seed`: must lie in")


def test_runs_of_one_second_have_directories_of_their_own(start, body, site):
    fixed = "hydra.run.dir='outputs/${now:%Y}/x'"
    assert [start(fixed), start(fixed)] == [0, 0]
    assert [path.name for path in body.run_dirs] == ["x", "x-2"]


@pytest.mark.parametrize("launcher", [(), ("--multirun", "hydra/launcher=basic")])
def test_other_libraries_are_heard_from_warnings_on(start, body, site, launcher, capsys):
    def speak(config):
        for name in ("matplotlib.font_manager", "simplexity.loggers"):
            logging.getLogger(name).info("a remark of %s", name)
        logging.getLogger("some_library").warning("a warning")

    body.fail = speak
    assert start(*launcher) == 0
    out = capsys.readouterr().out
    assert "a remark of simplexity.loggers\na warning\n" in out
    assert "matplotlib" not in out
    (log,) = site.rglob("run_experiment.log")
    assert "matplotlib" not in log.read_text()


def test_a_sweep_over_a_pattern_has_the_sites_own_configs(start, body):
    arguments = ["training_data_generator=glob([*coin, rrxor])", "training_data_generator.bos_token=null"]
    assert start("--multirun", "hydra/launcher=basic", *arguments) == 0
    assert {path.name for path in body.run_dirs} == {"0", "1", "2"}


def test_a_run_to_be_started_again_says_so(start, body):
    body.exit_code = 85
    assert start() == 85


def test_a_run_goes_on_only_with_the_config_it_started_with(start, body, site, capfd):
    assert start("hydra.run.dir=here") == 0
    assert start("hydra.run.dir=here", "training.num_train_steps=9000", "persistence=none") == 0
    assert start("hydra.run.dir=here", "training.num_train_steps=9000", "seed=3") == 2
    assert "`seed`: was 0" in capfd.readouterr().err
    assert len(body.run_dirs) == 2


@pytest.mark.slow
def test_another_runs_config_is_the_base_of_a_run_and_of_a_sweep(start, body, site, capfd):
    assert start("hydra.run.dir=first", "predictive_model=rnn", "seed=3") == 0
    assert start("+from_run=first", "hydra.run.dir=second", "training.batch_size=16") == 0
    assert (body.configs[1].seed, body.configs[1].training.batch_size) == (3, 16)
    assert body.configs[1].predictive_model == body.configs[0].predictive_model
    assert body.configs[1].from_run == str(site / "first")
    # The values count, and not where they are from.
    assert start("hydra.run.dir=second", "predictive_model=rnn", "seed=3", "training.batch_size=16") == 0
    launched = ("--multirun", "hydra/launcher=basic", "+from_run=first")
    assert start(*launched, "seed=1,2", "predictive_model=choice(gru, rnn)") == 0
    chosen = [(one.seed, one.predictive_model.instance._target_.rpartition(".")[2]) for one in body.configs[3:]]
    assert chosen == [(1, "GRU"), (1, "RNN"), (2, "GRU"), (2, "RNN")]
    capfd.readouterr()
    assert start("+from_run=first", "--config-name", "train_model") == 2
    assert start("+from_run=typo") == 2
    assert start("+from_run=first", "predictive_model.instance.hidden=1") == 2
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in lines] == [
        "`from_run`:",
        "`from_run`:",
        "`predictive_model.instance.hidden`:",
    ]


@pytest.mark.slow
def test_hydras_own_flags_work(start, site, capsys):
    assert start("--cfg", "job", "training_data_generator=site_coin") == 0
    assert OmegaConf.create(capsys.readouterr().out).training_data_generator.instance.p == 0.5
    assert start("--help") == 0
    shown = capsys.readouterr().out
    assert re.search(r"\ntraining_data_generator, validation_data_generator: [^:]*\bcoin, ", shown)
    assert "site_coin" in shown
    assert "generative_process:" not in shown
    assert list(site.iterdir()) == []


def test_composing_does_without_jax(site):
    imports = "import sys; from simplexity.composition import compose"
    program = f"{imports}; compose('experiment'); assert 'jax' not in sys.modules"
    assert python(site, "-c", program).returncode == 0


@pytest.mark.slow
def test_a_first_step_waits_for_no_library_that_is_used_later(site):
    later = "{'matplotlib', 'scipy', 'orbax', 'mlflow', 'optuna', 'submitit', 'wandb', 'tensorboard', 'pandas'}"
    program = f"import sys, simplexity.running._attempt; sys.exit(', '.join({later} & set(sys.modules)))"
    assert python(site, "-c", program).stderr.strip() == ""
