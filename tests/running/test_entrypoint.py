import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["training.batch_size=0"],
        ["training.batchsize=3"],
        ["training_data_generator=nope"],
        ["training.batch_size=1,2"],
        ["--no-such-flag"],
        ["--multirun", "training.batch_size=32,0"],
        ["--multirun", "training_data_generator=site_coin,nope"],
        ["--multirun", "seed=1,2", "training.carry_state=3"],
        ["--multirun", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=0"],
        ["hydra.run.dir=/proc/nowhere"],
        ["hydra.run.dir=/dev/null"],
        ["hydra.run.dir="],
        ["--multirun", "seed=1,2", "hydra.sweep.dir="],
        ["--config-dir", "/nowhere"],
        ["--config-path", "/nowhere"],
        ["--config-name", "nowhere"],
        ["=3"],
        ["hydra.job.name=x/y"],
        ["--multirun", "seed=1,2", "hydra.job.name=x/y"],
        ["hydra.job.env_set.XLA_FLAGS=x"],
        ["--multirun", "training_data_generator=glob(no*such)"],
        ["--multirun", "seed=range(3,3)"],
        ["--multirun", "seed=interval(1,3)"],
        ["--multirun", "training.batch_size=64", "training.optimizer.instance.learning_rate=interval(0.1,0.2)"],
        ["training.optimizer.instance.learning_rate=interval(0.1,0.2)"],
        ["--multirun", "hydra/launcher=slurm", "cluster=dev,gpu"],
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(start, body, site, arguments, capfd):
    assert start(*arguments) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("`")
    assert ("--multirun hydra/sweeper=optuna" in error) == ("interval" in str(arguments))
    assert body.run_dirs == []
    assert list(site.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--seed", "3"], ["--seed=3"]])
def test_a_key_with_dashes_is_shown_without(start, capfd, arguments):
    assert start(*arguments) == 2
    assert capfd.readouterr().err.endswith("keys of the config have no dashes: seed=3\n")


@pytest.mark.parametrize(("typed", "meant"), [("mutlirun", "multirun"), ("config-nmae", "config-name")])
def test_a_mistyped_flag_is_not_taken_for_a_key(start, capfd, typed, meant):
    assert start(f"--{typed}", "seed=1,2") == 2
    assert capfd.readouterr().err.endswith(f"; did you mean --{meant}?\n")


def test_a_torn_yaml_file_is_named(start, body, site, capfd):
    (site.parent / "site/generative_process/torn.yaml").write_text("instance:\n  p: [0.5\n")
    assert start("training_data_generator=torn") == 2
    error = capfd.readouterr().err
    assert re.fullmatch(r"`/.*/generative_process/torn\.yaml`: is not YAML: .* in line 3, column 1\n", error)
    assert list(site.iterdir()) == []


def test_several_mistakes_are_a_line_each(start, site, capfd):
    assert start("training.batch_size=0", "sede=1", "training.optimizer.instance.learning_rate=-1") == 2
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "the config has 3 mistakes:"
    assert len(lines) == 4


def test_what_fails_while_running_is_one_line(start, body, site, capfd):
    def fail(config):
        raise RuntimeError("the loss is not finite\nat step 3")

    body.fail = fail
    assert start() == 1
    assert capfd.readouterr().err == "the loss is not finite at step 3\n"
    assert "the loss is not finite at step 3" in (body.run_dirs[0] / "run_experiment.log").read_text()


def test_our_own_mistakes_show_where_they_are(start, body, capfd):
    body.fail = lambda config: config["no_such_key"]
    assert start() == 1
    assert "Traceback" in capfd.readouterr().err


SWEEP = ["--multirun", "hydra/launcher=basic", "seed=1,2"]


@pytest.mark.parametrize(
    ("name", "arguments"), [("check", []), ("check_sweep", SWEEP), ("_run_directory", []), ("_run_directory", SWEEP)]
)
def test_our_own_mistakes_while_composing_are_not_taken_for_the_users(start, body, capfd, monkeypatch, name, arguments):
    from simplexity.running import _start

    def fail(*arguments):
        raise ValueError("of our own")

    monkeypatch.setattr(_start, name, fail)
    assert start(*arguments) == 1
    assert "Traceback" in capfd.readouterr().err
    assert body.run_dirs == []


def test_a_sweep_over_a_pattern_has_the_sites_own_configs(start, body):
    arguments = ["training_data_generator=glob([*coin, rrxor])", "training_data_generator.bos_token=null"]
    assert start("--multirun", "hydra/launcher=basic", *arguments) == 0
    assert {path.name for path in body.run_dirs} == {"0", "1", "2"}


def test_environment_variables_of_the_config_are_set_and_remembered(start, body, monkeypatch):
    from simplexity.composition import restore_surroundings

    monkeypatch.setenv("SIMPLEXITY_TEST", "before")
    seen = []
    body.fail = lambda config: seen.append(os.environ["SIMPLEXITY_TEST"])
    for arguments in ([], ["--multirun", "hydra/launcher=basic"]):
        assert start("+hydra.job.env_set.SIMPLEXITY_TEST=a b", *arguments) == 0
        monkeypatch.setenv("SIMPLEXITY_TEST", "before")
        restore_surroundings(body.run_dirs[-1])
        assert os.environ["SIMPLEXITY_TEST"] == "a b"
    assert seen == ["a b", "a b"]


@pytest.mark.slow
def test_environment_variables_are_set_before_jax_reads_them(site):
    program = (
        "import sys; sys.argv[1:] = ['+hydra.job.env_set.JAX_PLATFORMS=nosuch']\n"
        f"import runpy; runpy.run_path({str(ROOT / 'simplexity/run_experiment.py')!r}, run_name='__main__')"
    )
    done = _python(site, "-c", program)
    assert done.returncode == 1
    assert done.stderr.startswith("JAX_PLATFORMS=nosuch, which jax cannot use here")


def test_environment_variables_for_the_tasks_of_a_step_are_refused(start, monkeypatch, capfd):
    from simplexity.running import _start

    monkeypatch.setattr(_start, "step_tasks", lambda: "several")
    assert start("+hydra.job.env_set.A=b") == 2
    assert "`hydra.job.env_set`: comes too late" in capfd.readouterr().err


def test_a_module_beside_the_sites_configs_can_be_named_and_is_found_again(start, body, site, monkeypatch):
    from simplexity.composition import restore_surroundings

    logger = "from simplexity.loggers import PrintLogger\n\ndef logger(p):\n    return PrintLogger(p)\n"
    (site.parent / "site/beside_the_configs.py").write_text(logger)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(site.parent / "site")])
    assert start("logging.instance={_target_: beside_the_configs.logger, p: 3}", "logging=none") == 0
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(site.parent / "site")])
    monkeypatch.delenv("SIMPLEXITY_CONFIGS")
    restore_surroundings(body.run_dirs[0])
    first = sys.path.index(str(site.parent / "site"))
    assert sys.path[first + 1] == str(site / "configs")


@pytest.mark.parametrize("now", ["moved", "current/configs"])
def test_a_module_is_found_again_where_the_folder_of_configs_has_been_moved_to(start, body, site, monkeypatch, now):
    from simplexity.composition import restore_surroundings

    before = site.parent / "site"
    (before / "moved_module.py").touch()
    assert start() == 0
    before.rename(site.parent / now)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(before)])
    if now == "moved":
        monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(site.parent / now))
    else:
        monkeypatch.delenv("SIMPLEXITY_CONFIGS")
    assert importlib.util.find_spec("moved_module") is None
    restore_surroundings(body.run_dirs[0])
    spec = importlib.util.find_spec("moved_module")
    assert spec is not None
    assert spec.origin == str(site.parent / now / "moved_module.py")


def test_each_of_two_runs_finds_its_own_modules_before_those_of_today_and_of_the_other(start, body, site, monkeypatch):
    from simplexity.composition import restore_surroundings

    folders = [site.parent / "site", site.parent / "another"]
    shutil.copytree(*folders)
    for folder in folders:
        monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(folder))
        assert start() == 0
    today = site / "configs"
    today.mkdir()
    monkeypatch.delenv("SIMPLEXITY_CONFIGS")
    for folder in (*folders, today):
        (folder / "own_module.py").touch()
    monkeypatch.setattr(sys, "path", [path for path in sys.path if Path(path) not in folders])
    for run_dir, folder in zip(body.run_dirs, folders, strict=True):
        restore_surroundings(run_dir)
        importlib.invalidate_caches()
        spec = importlib.util.find_spec("own_module")
        assert spec is not None
        assert spec.origin == str(folder / "own_module.py")


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["simplexity/run_experiment.py"], ["simplexity/train_model.py"], ["-m", "simplexity.run_experiment"]]
)
def test_the_scripts_answer_a_mistake(site, command):
    script = [str(ROOT / part) if part.endswith(".py") else part for part in command]
    done = _python(site, *script, "seed=[1")
    assert done.returncode == 2
    assert done.stderr.startswith("`seed=[1`: ")
    assert done.stderr.count("\n") == 1
    assert list(site.iterdir()) == []


def test_composing_does_without_jax(site):
    imports = "import sys; from simplexity.composition import compose"
    program = f"{imports}; compose('experiment'); assert 'jax' not in sys.modules"
    assert _python(site, "-c", program).returncode == 0


@pytest.mark.slow
def test_a_first_step_waits_for_no_library_that_is_used_later(site):
    later = "{'matplotlib', 'scipy', 'orbax', 'mlflow', 'optuna', 'submitit', 'wandb', 'tensorboard', 'pandas'}"
    program = f"import sys, simplexity.running._attempt; sys.exit(', '.join({later} & set(sys.modules)))"
    assert _python(site, "-c", program).stderr.strip() == ""


def _python(folder, *arguments):
    # The stand-in model's module lies beside the site's configs.
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder.parent / 'site'}"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
