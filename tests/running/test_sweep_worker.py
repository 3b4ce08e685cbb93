"""A worker that executes real runs, one after the other in one process."""

import subprocess
import sys
from pathlib import Path

import pytest

from simplexity.sweeps import SweepDirectory
from tests.small_runs import assert_same_run, environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TINY = (
    "training.num_train_steps=40",
    "training.sequence_len=8",
    "training.log_every=10",
    "predictive_model.instance.num_layers=1",
)
# Programs of two shapes; numbers of the optimizer and of the process, which are arguments of them.
SWEPT = (
    "training.batch_size=4,8",
    "predictive_model.instance.hidden_size=4",
    "training.optimizer.instance.learning_rate=0.01,0.001",
    "training_data_generator.instance.x=0.1,0.2",
)


def launch(folder: Path, cache: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "simplexity/train_model.py"), "--multirun", f"hydra.sweep.dir={folder}"]
    done = subprocess.run(
        [*command, *arguments], cwd=folder.parent, env=environment(cache), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done


def test_a_sweep_that_is_extended_has_the_bits_of_one_that_was_that_long(tmp_path, cache):
    seeds = ("seed=0,1", *TINY[1:])
    launch(tmp_path / "extended", cache, *seeds, "training.num_train_steps=20")
    extended = launch(tmp_path / "extended", cache, *seeds, "training.num_train_steps=40")
    assert "extending 2 runs to 40 steps" in extended.stdout
    launch(tmp_path / "whole", cache, *seeds, "training.num_train_steps=40")
    for index in ("0", "1"):
        assert_same_run(tmp_path / "extended" / index, tmp_path / "whole" / index)


def test_a_run_is_the_same_whoever_was_executed_before_it(tmp_path, cache):
    """Two workers, which begin at different runs, one worker, and a process for one run alone."""
    for name, settings in (("two", "max_parallel=2"), ("one", "max_parallel=1")):
        launch(tmp_path / name, cache, *TINY, *SWEPT, f"hydra.launcher.{settings}")
    sweep = SweepDirectory.open(tmp_path / "one")
    runs = sweep.read_manifest().runs
    assert len(runs) == 8
    for run in runs:
        assert_same_run(sweep.run_directory(run).path, tmp_path / "two" / run.directory)
    alone = tmp_path / "alone"
    for run in (runs[3], runs[6]):
        (alone / run.directory).mkdir(parents=True)
        (alone / run.directory / "config.yaml").write_bytes(sweep.run_directory(run).config_path.read_bytes())
        command = [sys.executable, "-P", "-m", "simplexity.cli", "resume", str(alone / run.directory)]
        subprocess.run(command, env=environment(cache), check=True, capture_output=True, timeout=300)
        assert_same_run(alone / run.directory, sweep.run_directory(run).path)
    work = [sys.executable, "-P", "-m", "simplexity.cli", "work", str(sweep.path)]
    idle = subprocess.run(work, env=environment(cache), check=True, capture_output=True, text=True, timeout=60)
    assert idle.stdout.startswith("nothing to execute: ")
