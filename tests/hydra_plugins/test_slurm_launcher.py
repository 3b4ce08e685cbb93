"""What `hydra/launcher=slurm` does without a SLURM; tests/slurm/test_launcher.py has the rest."""

import json
import os
import shutil
import subprocess

import pytest

from simplexity import sweeps
from simplexity.sweeps import SweepDirectory

DRY = "hydra.launcher.dry_run=true"


def test_a_dry_run_shows_script_and_manifest_and_writes_nothing(start_on_slurm, tmp_path, capfd):
    assert (
        start_on_slurm("cluster=dev", DRY, "seed=1,2", "cluster.partition=other", "hydra.launcher.timeout_min=77") == 0
    )
    shown = capfd.readouterr().out
    script, manifest = shown.split("manifest.json\n")
    for line in ("array=0-1", "partition=other", "time=77", "job-name=train_model"):
        assert f"#SBATCH --{line}\n" in script
    assert '-m simplexity.cli resume "${TASK[@]}"' in script
    bash = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (bash.returncode, bash.stderr) == (0, "")
    head, runs = manifest.split("# ")
    assert [json.loads(line)["overrides"] for line in runs.splitlines()[1:]] == [["seed=1"], ["seed=2"]]
    assert json.loads(head)["launch"]["profile"]["time_limit_minutes"] == 77
    assert list(tmp_path.iterdir()) == []


def test_the_environment_names_the_default_cluster(start_on_slurm, monkeypatch, capfd):
    """As `slurm/dev-cluster up` does: its nodes have no GPUs, which the packaged profile asks for."""
    assert start_on_slurm(DRY) == 0
    assert "#SBATCH --gpus-per-node=1\n" in capfd.readouterr().out
    monkeypatch.setenv("SIMPLEXITY_CLUSTER", "dev")
    assert start_on_slurm(DRY) == 0
    shown = capfd.readouterr().out
    assert "#SBATCH --partition=low\n" in shown
    assert "gpus-per-node" not in shown
    monkeypatch.setenv("SIMPLEXITY_CLUSTER", "nope")
    assert start_on_slurm(DRY) == 2
    assert "`SIMPLEXITY_CLUSTER (environment)`: there is no 'nope'; valid: dev, gpu" in capfd.readouterr().err


def test_options_of_the_profile_on_the_command_line(start_on_slurm, capfd):
    """As docs/clusters.md writes them."""
    typed = ["cluster.partition='low,high'", "+cluster.sbatch_options.nice=10", "+cluster.environment.THREADS=4"]
    assert start_on_slurm("cluster=dev", DRY, *typed, "+cluster.sbatch_options={exclude: n7, exclusive: ''}") == 0
    shown = capfd.readouterr().out
    for line in ("partition=low,high", "nice=10", "exclude=n7", "exclusive"):
        assert f"#SBATCH --{line}\n" in shown
    assert "export THREADS=4\n" in shown


@pytest.mark.slow
def test_a_dry_run_of_a_large_sweep_has_several_arrays(start_on_slurm, capfd):
    assert start_on_slurm("cluster=dev", DRY, "seed=range(0, 1003)", "hydra.launcher.array_parallelism=5") == 0
    shown = capfd.readouterr().out
    assert "#SBATCH --array=0-1000%5\n" in shown
    assert "#SBATCH --array=0-1%5\n" in shown
    assert "INDEX=$((1001 + SLURM_ARRAY_TASK_ID))" in shown


def test_a_dry_run_says_what_workers_will_do(start_on_slurm, capfd):
    rates = ("seed=range(0,8)", "training.optimizer.instance.learning_rate=0.1,1e-3", "training.batch_size=4,8")
    assert start_on_slurm("cluster=dev", DRY, *rates, "hydra.launcher.workers=5") == 0
    shown = capfd.readouterr().out
    assert "#SBATCH --array=0-4\n" in shown
    assert "-m simplexity.cli work" in shown
    assert shown.endswith("# 32 runs, 5 workers, about 6 runs each, about 2 programs\n")
    assert start_on_slurm("cluster=dev", DRY, "cluster.tasks_per_node=2", "hydra.launcher.workers=auto") == 2
    assert "`hydra.launcher.workers`: must be null where a run has several processes" in capfd.readouterr().err
    shared = ("cluster.gpus_per_node=1", "cluster.tasks_per_gpu=4")
    assert start_on_slurm("cluster=dev", DRY, *rates, "hydra.launcher.workers=2", *shared) == 0
    shown = capfd.readouterr().out
    assert "#SBATCH --ntasks-per-node=4\n" in shown
    assert shown.endswith("# 32 runs, 8 workers in 2 array tasks, about 4 runs each, about 2 programs\n")
    assert start_on_slurm("cluster=dev", DRY, *shared) == 2
    assert "`hydra.launcher.workers`: must be a number or auto with `cluster.tasks_per_gpu`=4" in capfd.readouterr().err
    assert start_on_slurm("cluster=dev", DRY, "hydra.launcher.workers=0") == 2
    assert "`hydra.launcher.workers`: must be at least 1, or null, got 0" in capfd.readouterr().err


@pytest.mark.slow
def test_a_dry_run_says_what_it_costs_by_the_time_that_such_runs_took(start_on_slurm, tmp_path, capfd, monkeypatch):
    from hydra_plugins.simplexity_launcher import _slurm_batch

    monkeypatch.setattr(sweeps, "require_slurm", lambda: None)
    monkeypatch.setattr(
        _slurm_batch,
        "submit_runs",
        lambda sweep, manifest, indices: [sweep.record_submission(indices, "1", None, 2) or "1"],
    )
    sizes = ("training.batch_size=4,8", "hydra.launcher.workers=2")
    assert start_on_slurm("cluster=dev", *sizes, "hydra.launcher.wait=false", "hydra.sweep.dir=all/first") == 0
    first = SweepDirectory.open(tmp_path / "all/first")

    def cost(*arguments) -> list[str]:
        capfd.readouterr()
        assert (
            start_on_slurm("cluster=dev", DRY, *sizes, "seed=range(10)", "hydra.sweep.dir=all/second", *arguments) == 0
        )
        return [line for line in capfd.readouterr().out.splitlines() if "node-hours" in line]

    def complete(index: int, seconds: float) -> None:
        directory = first.run_directory(first.read_run(index))
        event = {"host": "n1", "pid": 1, "seconds": dict.fromkeys(("computing", "compiling", "saving", "restoring"), 0)}
        start = event | {"sequence": 0, "kind": "start", "step": 0, "time": 100.0, "elapsed_s": 0.0}
        end = event | {"sequence": 1, "kind": "complete", "step": 9, "time": 100.0 + seconds, "elapsed_s": seconds}
        directory.ledger_path.write_text("".join(json.dumps(line) + "\n" for line in (start, end)))
        directory.mark_complete(9, 0.5)

    complete(0, 30.0)
    assert cost() == []
    complete(1, 150.0)
    assert cost() == ["# about 0.5 node-hours: such a run took 30 s to 2 min in all/first"]
    assert cost("hydra.launcher.workers=null") == []
    assert cost("cluster.partition=other") == []
    assert cost("training.num_train_steps=7") == []
    assert cost("predictive_model.instance.num_layers=3") == []
    assert cost("hydra.sweep.dir=elsewhere/second") == []


def test_batches_that_nobody_waits_for_are_numbered_on(start_on_slurm, tmp_path, monkeypatch):
    from hydra_plugins.simplexity_launcher import _slurm_batch

    batches = []
    monkeypatch.setattr(sweeps, "require_slurm", lambda: None)
    monkeypatch.setattr(
        _slurm_batch, "submit_runs", lambda sweep, manifest, indices: batches.append(indices) or [str(len(batches))]
    )
    arguments = ("hydra.launcher.wait=false", "hydra.sweeper.max_batch_size=2", "hydra.sweep.dir=here")
    assert start_on_slurm("cluster=dev", "seed=0,1,2,3,4", *arguments) == 0
    assert batches == [[0, 1], [2, 3], [4]]
    assert len(SweepDirectory.open(tmp_path / "here").read_manifest().runs) == 5


def test_the_same_command_submits_with_the_settings_that_it_has_now(start_on_slurm, tmp_path, submitted):
    for settings in ([], ["hydra.launcher.array_parallelism=3", "cluster.partition=other"]):
        command = ("cluster=dev", "hydra.launcher.wait=false", "hydra.sweep.dir=here", "seed=1,2", *settings)
        assert start_on_slurm(*command) == 0
    settings = [(launch.array_parallelism, launch.profile.partition) for launch in submitted]
    assert settings == [(None, "low"), (3, "other")]
    assert SweepDirectory.open(tmp_path / "here").read_manifest().launch == submitted[1]


def test_without_sbatch_one_line_says_what_to_do(start_on_slurm, tmp_path, capfd):
    assert start_on_slurm("cluster=dev", "seed=1,2") == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert all(remedy in said for remedy in ("slurm/dev-cluster", "dry_run=true", "hydra/launcher=local"))
    assert list(tmp_path.iterdir()) == []


def test_the_value_of_a_variable_is_in_files_of_the_user_alone(start_on_slurm, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, answer in (("sbatch", "7"), ("scontrol", ""), ("squeue", "")):
        (programs / name).write_text(f"#!/bin/sh\necho {answer}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(shutil, "which", lambda name: str(programs / name))
    monkeypatch.setenv("TOKEN", "hidden-value")
    arguments = ("cluster=dev", "+cluster.environment.TOKEN=${oc.env:TOKEN}", "seed=1,2", "hydra.sweep.dir=s")
    assert start_on_slurm(*arguments, "hydra.launcher.wait=false") == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    with_value = [path for path in files if b"hidden-value" in path.read_bytes()]
    assert {path.name for path in with_value} >= {"environment.json", "array_0.sh"}
    assert {oct(path.stat().st_mode & 0o777) for path in with_value} == {"0o600"}
    assert b"TOKEN" in (tmp_path / "s/sweep/manifest.json").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["training.batch_size=0"], ["`training.batch_size`"]),
        (
            ["cluster.signal_lead_s=x", "+cluster.environment.X=true", "+cluster.container={image: a}"],
            [
                "the config has 3 mistakes",
                "`cluster.environment.X`: must be a string, got true",
                "`cluster.container.runtime`: is missing",
            ],
        ),
        (["cluster.cpus_per_task=0"], ["`cluster.cpus_per_task`: must be at least 1, got 0"]),
        (["cluster.memory=lots"], ["`cluster.memory`: must be a number with K, M, G or T"]),
        (
            ["cluster.sbatch_options={exclude: n1}", "cluster.memori=1"],
            [
                "`cluster.sbatch_options`: is merged into the section that is there, which is empty; to add to it, "
                "write +cluster.sbatch_options=...;",
                "`cluster.memori`: unknown key; did you mean `cluster.memory`? valid: account,",
            ],
        ),
        (
            ["cluster.sbatch_options.exclude=n7"],
            ["`cluster.sbatch_options.exclude`: is not there yet; to add it, write +cluster.sbatch_options.exclude="],
        ),
        (
            ["cluster.partition=low,high"],
            [
                "`cluster.partition`: got several values, and no sweep takes it; to give one with a comma in it, write "
                "\"cluster.partition='low,high'\""
            ],
        ),
        (
            ["+cluster.sbatch_options.exclude=n7,n8"],
            ["to give one with a comma in it, write \"+cluster.sbatch_options.exclude='n7,n8'\""],
        ),
        (["hydra.launcher.array_parallelism=0"], ["`hydra.launcher.array_parallelism`: must be at least 1"]),
        (
            ["cluster.nodes=3", "cluster.tasks_per_node=2", "training.batch_size=32"],
            [
                "`training.batch_size`: must be divisible by the number of processes, "
                "`cluster.nodes` times `cluster.tasks_per_node` = 6, got 32"
            ],
        ),
        (["hydra/sweeper=optuna", "hydra.launcher.wait=false"], ["`hydra.launcher.wait`: must be true"]),
    ],
)
def test_mistakes(start_on_slurm, tmp_path, capfd, arguments, says):
    assert start_on_slurm("cluster=dev", DRY, *arguments) == 2
    said = capfd.readouterr().err
    assert [part for part in says if part not in said] == []
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_profile_that_does_not_exist(start_on_slurm, capfd):
    assert start_on_slurm(DRY, "cluster=nope") == 2
    assert "there is no 'nope'; valid: dev, gpu" in capfd.readouterr().err
