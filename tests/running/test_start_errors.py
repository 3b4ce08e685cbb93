"""What the program says of a mistake in a command, of a run that fails, and of mistakes of its own."""

import re

import pytest

from tests.running.program import ROOT, call_program, python


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [["simplexity/run_experiment.py"], ["simplexity/train_model.py"], ["-m", "simplexity.run_experiment"]]
)
def test_the_scripts_answer_a_mistake(site, command):
    script = [str(ROOT / part) if part.endswith(".py") else part for part in command]
    done = python(site, *script, "seed=[1")
    assert done.returncode == 2
    assert done.stderr.startswith("`seed=[1`: ")
    assert done.stderr.count("\n") == 1
    assert list(site.iterdir()) == []


def test_a_study_for_another_program_is_one_mistake_for_each_section(start, body, monkeypatch, capfd):
    monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(ROOT / "configs"))
    assert call_program("train_model", "+study=quantum") == 2
    cause, use = (
        "is left out by this command, and study=quantum sets some of its keys",
        "use simplexity/run_experiment.py",
    )
    assert capfd.readouterr().err.splitlines()[1:] == [
        f"  `{name}`: {cause}: choose it with {name}=default, or {use}, which has it"
        for name in ("validation", "analysis")
    ]


def test_a_key_of_a_section_that_was_left_out_is_one_mistake(start, body, capfd):
    assert call_program("experiment", "validation=null", "+validation.every=5") == 2
    assert capfd.readouterr().err == (
        "`validation`: is left out by this command, and there are values for some of its keys: choose it with "
        "validation=default\n"
    )


def test_a_mistyped_value_of_a_sweep_comes_before_what_is_wrong_with_the_others(start, body, monkeypatch, capfd):
    monkeypatch.setenv("SIMPLEXITY_CONFIGS", str(ROOT / "configs"))
    assert call_program("train_model", "--multirun", "+study=quantum,sizs") == 2
    assert capfd.readouterr().err.splitlines()[1].startswith("  `study`: there is no 'sizs'; did you mean `sizes`?")
