"""`hydra/launcher=local`, by the program in this process, with stand-ins for the runs, which end at once."""

import os
import sys

import pytest
from omegaconf import OmegaConf

from simplexity import sweeps
from simplexity.composition import restore_surroundings
from simplexity.runs import RunDirectory
from simplexity.sweeps import Outcome, RunState, SweepDirectory
from tests.running.program import call_program


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Runs train_model with --multirun in an empty current folder; every run ends at once as `ends` says."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMPLEXITY_CONFIGS", raising=False)
    monkeypatch.setattr(sys, "argv", ["train_model.py"])
    executed = []

    def _start(*arguments, ends=lambda index: (RunState.COMPLETE, float(index), "")):
        def execute(sweep, manifest, launch, runs, guard):
            executed.extend(one.index for one in runs)
            outcomes = []
            for one in runs:
                state, loss, reason = ends(one.index)
                if state == RunState.COMPLETE:
                    sweep.run_directory(one).mark_complete(one.num_train_steps, loss)
                outcomes.append(Outcome(one, state, loss, None, reason))
            return outcomes

        monkeypatch.setattr(sweeps, "run_locally", execute)
        return call_program("train_model", "--multirun", *arguments)

    _start.executed = executed
    return _start


def fails(index):
    return (RunState.FAILED, None, "out of memory") if index == 1 else (RunState.COMPLETE, float(index), "")


def the_sweep(folder) -> SweepDirectory:
    (path,) = folder.glob("multirun/*/*")
    return SweepDirectory.open(path)


def test_every_run_is_frozen_before_the_first_starts(start, tmp_path):
    assert start("seed=1,2", "training_data_generator=mess3,rrxor") == 0
    sweep = the_sweep(tmp_path)
    manifest = sweep.read_manifest()
    assert start.executed == [0, 1, 2, 3]
    assert manifest.runs[1].overrides == ("seed=1", "training_data_generator=rrxor")
    assert (manifest.program, manifest.working_folder) == ("train_model", str(tmp_path))
    for one in manifest.runs:
        directory = sweep.run_directory(one)
        config = OmegaConf.load(directory.config_path)
        assert config.seed == 1 + one.index // 2
        assert config.training_data_generator.instance._target_.endswith(("mess3", "rrxor")[one.index % 2])
        # What Hydra would write for each is in one file for all.
        assert {path.name for path in directory.path.iterdir()} == {"config.yaml", "COMPLETE"}
    assert list(OmegaConf.load(sweep.multirun_path).hydra.overrides.task) == [
        "seed=1,2",
        "generative_process@training_data_generator=mess3,rrxor",
    ]


def test_a_run_whose_variables_are_its_own_has_them_in_its_folder(start, tmp_path):
    assert start("seed=1,2", "+hydra.job.env_set.PORT='${hydra.job.num}'") == 0
    sweep = the_sweep(tmp_path)
    for one in sweep.read_manifest().runs:
        path = sweep.run_directory(one).path / ".hydra" / "hydra.yaml"
        assert (OmegaConf.load(path).hydra.job.env_set.PORT, path.stat().st_mode & 0o777) == (one.index, 0o600)


def test_a_sweep_that_grows_keeps_what_its_runs_were_started_with(start, tmp_path, monkeypatch):
    monkeypatch.setenv("SIMPLEXITY_TEST", "before")
    folder = f"hydra.sweep.dir={tmp_path}/multirun/a/b"
    assert start("seed=1", folder, "+hydra.job.env_set.SIMPLEXITY_TEST=first") == 0
    assert start("seed=1,2", folder, "+hydra.job.env_set.SIMPLEXITY_TEST=second") == 0
    for name, value in (("0", "first"), ("1", "second")):
        restore_surroundings(tmp_path / "multirun/a/b" / name)
        assert os.environ["SIMPLEXITY_TEST"] == value


def test_a_run_may_be_named_by_its_number(start, tmp_path):
    assert start("seed=1,2", "hydra.sweep.subdir=run_${hydra.job.num}") == 0
    assert [one.directory for one in the_sweep(tmp_path).read_manifest().runs] == ["run_0", "run_1"]


@pytest.mark.parametrize(
    ("subdir", "says"),
    [
        ("${seed}", "Interpolation key 'seed' not found; it may refer to `hydra` alone, as in ${hydra.job.num} and "),
        ("../${hydra.job.num}", "must stay within the sweep's folder, got ../0; "),
        ("${hydra.job.config_name}", "must tell the runs apart, but is 'train_model' for several; "),
    ],
)
def test_a_mistake_in_the_runs_folders(start, tmp_path, capfd, subdir, says):
    assert start("seed=1,2", f"hydra.sweep.subdir={subdir}") == 2
    told = capfd.readouterr().err
    assert told.startswith(f"`hydra.sweep.subdir`: {says}")
    assert told.count("\n") == 1
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_sweep_over_nothing_is_one_of_one(start, tmp_path):
    assert start() == 0
    assert [one.overrides for one in the_sweep(tmp_path).read_manifest().runs] == [()]


def test_a_failed_run_is_named_in_one_line_at_the_end(start, capfd):
    assert start("seed=0,1,2", "hydra.sweep.dir=here", ends=fails) == 1
    told = capfd.readouterr()
    assert told.err == "1 of 3 runs failed: #1; to start them again: simplexity retry here\n"
    assert "started 3 runs in here\nto watch from another terminal: simplexity status here --watch\n" in told.out
    assert "\n2 of 3 runs complete\nbest run: 0 (seed=0): final loss 0.00000 nats\n" in told.out
    assert told.out.endswith("to look at it: simplexity show here/0\nto see all results: simplexity results here\n")


def test_a_loss_that_is_not_finite_is_not_advised_to_be_repeated(start, capfd):
    def ends(index):
        return RunState.FAILED, None, "NotFiniteError: the loss is not finite at step 3"

    assert start("seed=0,1", "hydra.sweep.dir=here", ends=ends) == 1
    errors = capfd.readouterr().err
    assert errors.startswith("2 of 2 runs failed: #0, #1; a run whose loss is not finite repeats that")
    assert "retry" not in errors


def test_a_failed_run_keeps_no_later_batch_from_starting(start):
    assert start("seed=0,1,2", "hydra.sweeper.max_batch_size=1", ends=fails) == 1
    assert start.executed == [0, 1, 2]


@pytest.mark.slow
def test_a_search_goes_on_from_the_losses(start, tmp_path):
    search = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2")
    assert start(*search, ends=fails) == 0
    sweep = the_sweep(tmp_path)
    results = OmegaConf.load(sweep.path / "optimization_results.yaml")
    assert (results.best_loss, results.best_run, list(results.failed_runs)) == (0.0, 0, [1])
    assert len(sweep.read_manifest().runs) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["seed=1,2", "training.batch_size=0"], "`training.batch_size`: "),
        (["predictive_model=transformer", "predictive_model.instance.num_heads=4,3"], "(run #1 "),
        (["seed=1,2", "hydra.sweep.subdir=same"], "`hydra.sweep.subdir`: must tell the runs apart"),
        (["seed=1", "cluster=dev"], "`cluster`: is for hydra/launcher=slurm"),
        (["seed=1", "hydra.launcher.max_parallel=0"], "`hydra.launcher.max_parallel`: must be at least 1"),
    ],
)
def test_nothing_starts_and_nothing_is_written_with_a_mistake(start, tmp_path, capfd, arguments, says):
    assert start(*arguments) == 2
    assert says in capfd.readouterr().err
    assert start.executed == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mistake", ["training.batch_size=0", "predictive_model.instance.num_layers=0"])
def test_an_empty_folder_of_the_users_own_survives_a_mistake(start, tmp_path, monkeypatch, mistake):
    (tmp_path / "mine/inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mine/inner")
    for folder in (".", "new/sub"):
        assert start("seed=1,2", mistake, f"hydra.sweep.dir={folder}") == 2
    assert list((tmp_path / "mine").rglob("*")) == [tmp_path / "mine/inner"]


def test_the_same_command_in_the_same_folder_goes_on(start, tmp_path, capfd):
    assert start("seed=1,2", "hydra.sweep.dir=here") == 0
    frozen = tmp_path / "here/0/config.yaml"
    before = frozen.stat().st_mtime_ns
    assert start("seed=1,2", "hydra.sweep.dir=here") == 0
    assert frozen.stat().st_mtime_ns == before
    assert start("seed=1,3", "hydra.sweep.dir=here") == 2
    assert "`hydra.sweep.dir`: names a sweep that these runs do not fit: it has a run 1" in capfd.readouterr().err
    assert len(SweepDirectory.open(tmp_path / "here").read_manifest().runs) == 2


@pytest.mark.slow
def test_a_larger_number_of_steps_extends_all_runs(start, tmp_path, capfd):
    command = ("seed=1,2", "hydra.sweep.dir=here")
    assert start(*command, "training.num_train_steps=20") == 0
    sweep = SweepDirectory.open(tmp_path / "here")
    directories = [sweep.run_directory(run) for run in sweep.read_manifest().runs]
    # Without a training state, as after on_complete=weights, and with other changes, nothing is touched.
    assert start(*command, "training.num_train_steps=30") == 2
    assert "run 0 is complete and has kept no training state" in capfd.readouterr().err
    for directory in directories:
        directory.final_state_path.touch()
    assert start(*command, "training.num_train_steps=30", "training.batch_size=8") == 2
    assert "`training.batch_size`: was" in capfd.readouterr().err
    assert [directory.read_completion().step for directory in directories] == [20, 20]
    start.executed.clear()
    assert start(*command, "training.num_train_steps=30") == 0
    assert start.executed == [0, 1]
    assert [run.num_train_steps for run in sweep.read_manifest().runs] == [30, 30]
    for directory in directories:
        assert directory.read_completion().step == 30
        assert OmegaConf.load(directory.config_path).training.num_train_steps == 30
        assert not directory.lock_path.exists()


def test_a_folder_of_another_kind_of_run(start, tmp_path, capfd):
    RunDirectory.create(tmp_path / "here" / "0").config_path.write_text("seed: 0\n")
    assert start("seed=1", "hydra.sweep.dir=here") == 2
    assert "holds another run" in capfd.readouterr().err


def test_a_folder_in_use(start, tmp_path, capfd):
    with SweepDirectory(tmp_path / "here").lock():
        assert start("hydra.sweep.dir=here") == 1
    said = capfd.readouterr().err
    assert "is being submitted or executed by process" in said
    assert said.count("\n") == 1
