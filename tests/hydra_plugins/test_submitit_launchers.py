"""`hydra/launcher=submitit_local` by the real program; tests/slurm/preempted has `submitit_slurm` on a real SLURM."""

import os
import signal
import subprocess
import sys
import time

import pytest

from simplexity.runs import EventKind, RunDirectory, read_ledger
from simplexity.sweeps import RunState, SweepDirectory, read_status
from tests.small_runs import GRU, ROOT, SMALL, environment


@pytest.fixture
def launch(tmp_path, cache):
    def launch(*arguments: str) -> subprocess.Popen:
        words = [
            sys.executable,
            str(ROOT / "simplexity/run_experiment.py"),
            "--multirun",
            "hydra/launcher=submitit_local",
        ]
        return subprocess.Popen(
            [*words, f"hydra.sweep.dir={tmp_path}/sweep", *SMALL, *GRU, *arguments],
            env=environment(cache),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return launch


def test_a_run_that_is_told_to_stop_saves_and_is_started_again_and_a_failed_one_is_named(launch, tmp_path):
    sweep = SweepDirectory(tmp_path / "sweep")
    ledger = RunDirectory(sweep.path / "0").ledger_path

    def events(kind):
        return [event for event in read_ledger(ledger) if event.kind == kind]

    steps = ("training.num_train_steps=60000", "validation.every=20000", "persistence.instance.save_every_steps=4000")
    with launch(*steps, "training.log_every=4000", "predictive_model.load_checkpoint_step=null,20") as sweep_process:
        deadline = time.monotonic() + 120
        while not events(EventKind.CHECKPOINT):
            assert sweep_process.poll() is None, sweep_process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.kill(events(EventKind.START)[-1].pid, signal.SIGUSR2)
        said, errors = sweep_process.communicate(timeout=300)
    assert sweep_process.returncode == 1
    assert len(events(EventKind.PREEMPTED)) == len(events(EventKind.RESUME)) == 1
    assert [one.state for one in read_status(sweep).runs] == [RunState.COMPLETE, RunState.FAILED]
    assert "2 runs: 1 complete, 1 failed" in said
    assert errors.splitlines()[-1] == "1 of 2 runs failed: #1; to start them again: simplexity retry sweep"
    assert "Traceback" not in errors
