"""`hydra/launcher=local` by the real program and real runs, with a retry and after signals."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simplexity.sweeps import SweepDirectory

ROOT = Path(__file__).parents[2]
HOSTILE = "a b'c $HOME `id` ü;&#"
TINY = (
    "training.num_train_steps=20",
    "training.batch_size=4",
    "training.sequence_len=8",
    "training.log_every=5",
    "predictive_model.instance.hidden_size=4",
)


def program(folder, *arguments):
    return [
        sys.executable,
        str(ROOT / "simplexity/train_model.py"),
        "--multirun",
        *TINY,
        f"hydra.sweep.dir='{folder}'",
        *arguments,
    ]


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-P", "-m", "simplexity.cli", *arguments], capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
def test_real_runs_one_of_which_fails_and_is_retried(tmp_path):
    folder = str(tmp_path / HOSTILE).replace("'", "\\'")
    step = "predictive_model.load_checkpoint_step=null,20"
    # A variable that only a run's own process needs, and that it must know again when it is retried.
    variable = f"+hydra.job.env_set.SIMPLEXITY_CACHE='{tmp_path}/cache'"
    words = program(folder, step, variable, "persistence.on_complete=keep")
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    sweep = SweepDirectory.open(tmp_path / HOSTILE)
    assert "1 of 2 runs failed: #1" in done.stderr
    status = command("status", str(sweep.path)).stdout
    assert "2 runs: 1 complete, 1 failed" in status
    assert "run 1 failed: ConfigError" in status
    (sweep.path / "1/checkpoints").mkdir(exist_ok=True)
    os.rename(sweep.path / "0/checkpoints/20", sweep.path / "1/checkpoints/20")
    before = (sweep.path / "0/run.jsonl").read_bytes()
    again = command("retry", str(sweep.path), "--failed")
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith("again: #1 predictive_model.load_checkpoint_step=20\n")
    assert "1/1 complete: #1" in again.stdout
    assert (sweep.path / "0/run.jsonl").read_bytes() == before
    assert list((tmp_path / "cache").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("number", "num_steps"), [(signal.SIGINT, 30_000), (signal.SIGKILL, 1500)])
def test_real_runs_survive_the_sweeps_process(tmp_path, number, num_steps):
    # SIGINT has to arrive before the first run ends, on a busy machine too.
    training = (f"training.num_train_steps={num_steps}", "training.log_every=100")
    arguments = (*training, "seed=0,1", "hydra.launcher.max_parallel=1")
    sweep = SweepDirectory(tmp_path / "s")
    with subprocess.Popen(
        program(sweep.path, *arguments), cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as sweep_process:
        deadline = time.monotonic() + 120
        while not (sweep.path / "0/metrics.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        sweep_process.send_signal(number)
        said = sweep_process.communicate(timeout=120)[0]
    if number == signal.SIGINT:
        assert sweep_process.returncode == 85
        assert "stopped with 0 of 2 runs complete; to resume the others: simplexity retry s\n" in said
        again = command("retry", str(sweep.path), "--missing")
        assert again.returncode == 0, again.stderr
    # A worker needs no living process of the sweep.
    while "2 complete" not in command("status", str(sweep.path)).stdout and number == signal.SIGKILL:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "2 runs: 2 complete" in command("status", str(sweep.path)).stdout
