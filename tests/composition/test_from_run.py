from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from simplexity.composition import ConfigError, check, compose, freeze, load_frozen
from simplexity.composition._data_files import keep_data_files
from simplexity.composition._frozen import differences
from simplexity.runs import RunDirectory
from simplexity.sweeps import LocalLaunch, Manifest, SweepDirectory, SweepRun

FROZEN = sorted((Path(__file__).parent / "frozen").glob("*.yaml"))
OTHER_MODEL = ("predictive_model=transformer", "predictive_model.instance.num_layers=3", "training/schedule=cosine")


@pytest.fixture
def base(tmp_path, monkeypatch):
    """What a run was started with -> its folder, relative to the current one."""
    monkeypatch.chdir(tmp_path)

    def begin(*overrides, name="a run"):
        config = compose("train_model", overrides)
        freeze(config, RunDirectory.create(tmp_path / name).path)
        (tmp_path / name / ".hydra").mkdir()
        (tmp_path / name / ".hydra/config.yaml").write_text(OmegaConf.to_yaml(config))
        return name

    return begin


@pytest.mark.parametrize("program", ["experiment", "train_model"])
def test_the_config_is_that_of_the_run_and_says_so(base, program, tmp_path):
    name = base(*OTHER_MODEL, "training_data_generator=coin", "validation=default", "seed=4")
    config = compose(program, [f"+from_run={name}"])
    assert config.from_run == str(tmp_path / name)
    changed = differences(load_frozen(tmp_path / name), config)
    assert [difference.path for difference in changed] == ["from_run"]
    assert check(config) == []


def test_choices_and_values_come_on_top(base):
    name = base(*OTHER_MODEL, "validation=default")
    overrides = ["predictive_model=gru", "training_data_generator=rrxor", "validation=null", "seed=7"]
    config = compose("experiment", [*overrides, f"from_run='{name}'"])
    # Nothing of the section that was chosen anew is left.
    assert config.predictive_model == compose("experiment").predictive_model
    assert config.training_data_generator.instance._target_.endswith(".rrxor")
    assert (config.validation, config.seed) == (None, 7)
    assert config.training.schedule._target_ == "optax.cosine_decay_schedule"
    assert compose("experiment", [f"+from_run={name}", "training/schedule=constant"]).training.schedule is None


def test_references_between_values_follow_overrides_while_they_mean_what_the_run_computed(base, tmp_path):
    name = base(*OTHER_MODEL, "training.num_train_steps=50")
    longer = [f"+from_run={name}", "training.num_train_steps=70"]
    assert compose("experiment", longer).training.schedule.decay_steps == 70
    (tmp_path / name / ".hydra/config.yaml").write_text("training: {num_train_steps: 60}")
    assert compose("experiment", longer).training.schedule.decay_steps == 50


def test_the_base_is_no_choice_that_people_are_told_to_type(base):
    with pytest.raises(ConfigError, match="valid: adam, adamw, muon, sgd;"):
        compose("experiment", [f"+from_run={base()}", "training/optimizer=adm"])


def test_references_follow_overrides_also_of_a_run_of_a_sweep(tmp_path):
    typed = ("predictive_model=rnn", "training/schedule=cosine", "training.num_train_steps=50", "seed=2")
    sweep = SweepDirectory(tmp_path / "a sweep")
    run = SweepRun(2, typed, "0" * 16, "2", 50)
    freeze(compose("train_model", typed), RunDirectory.create(sweep.path / run.directory).path)
    sweep.folder.mkdir()
    facts = {
        "created": 0.0,
        "version": "0",
        "working_folder": str(tmp_path),
        "launch": LocalLaunch(max_parallel=1, cores_per_run=None),
    }
    sweep.write_manifest(Manifest(program="train_model", config_name="train_model", runs=(run,), **facts))
    config = compose("experiment", [f"+from_run={sweep.path / '2'}", "training.num_train_steps=70"])
    assert (config.seed, config.training.schedule.decay_steps) == (2, 70)


@pytest.mark.parametrize("path", FROZEN, ids=lambda path: path.stem)
def test_runs_of_earlier_versions(path, tmp_path):
    (tmp_path / "config.yaml").write_bytes(path.read_bytes())
    config = compose("experiment", [f"+from_run={tmp_path}", "seed=9"])
    assert check(config) == []
    assert {difference.path for difference in differences(load_frozen(tmp_path), config)} == {"from_run", "seed"}


def test_a_data_file_is_the_run_s_copy(base, tmp_path):
    np.savez(tmp_path / "coin.npz", transition_matrices=np.array([[[0.25]], [[0.75]]]))
    name = base()
    directory = RunDirectory(tmp_path / name)
    config = load_frozen(directory.path)
    process = {"_target_": "simplexity.generative_processes.from_npz", "path": "coin.npz"}
    directory.config_path.write_text(
        OmegaConf.to_yaml(OmegaConf.merge(config, {"training_data_generator": {"instance": process}}))
    )
    keep_data_files(load_frozen(directory.path), directory, lambda seconds: False)
    (tmp_path / "coin.npz").unlink()
    path = Path(compose("experiment", [f"+from_run={name}"]).training_data_generator.instance.path)
    assert path.parent == directory.path / "data"
    assert path.is_file()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+from_run=typo"], r"`from_run`: .*/typo: there is no such folder"),
        (["+from_run=."], r"`from_run`: .*: is not a run directory: it has no config.yaml"),
        (["+from_run="], r"`from_run`: needs a value: the folder of a run"),
        (["+from_run=a", "+from_run=b"], "`from_run`: must be the only base of a config"),
        (["+from_run=torn"], r"`from_run`: .*/torn/config.yaml: cannot be read: "),
    ],
)
def test_mistakes(overrides, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/config.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match=message) as caught:
        compose("experiment", overrides)
    assert len(caught.value.problems) == 1
