"""Hydra's stock submitit launchers on a real SLURM: what is preempted comes back, and nothing is lost or done twice."""

import subprocess
import sys
from pathlib import Path

import pytest

from simplexity.runs import EventKind, RunDirectory, read_ledger
from simplexity.sweeps import RunState, SweepDirectory, read_status
from tests.small_runs import GRU, ROOT, SMALL, assert_same_run, environment

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(900)]

LONG = (
    "training.num_train_steps=100000",
    "training.log_every=12500",
    "validation.every=50000",
    "persistence.instance.save_every_steps=5000",
)
SETTINGS = (
    "hydra/launcher=submitit_slurm",
    "hydra.launcher.partition=low",
    "hydra.launcher.timeout_min=5",
    "hydra.launcher.signal_delay_s=60",
    "hydra.launcher.cpus_per_task=1",
    "+hydra.launcher.additional_parameters.mem=300M",
)
SEEDS = range(4)


@pytest.fixture
def start(dev_cluster, tmp_path, cache):
    """Starts a sweep; returns the process that follows it, and what waits for something while it lives."""
    cluster = dev_cluster("--cpus=1", "--grace=60")
    submissions: list[subprocess.Popen] = []

    def start(*arguments: str):
        words = [
            sys.executable,
            str(ROOT / "simplexity/run_experiment.py"),
            "--multirun",
            *SETTINGS,
            *SMALL,
            *GRU,
            *LONG,
        ]
        with open(tmp_path / "submission.log", "a") as log:
            words += [*arguments, f"hydra.sweep.dir='{tmp_path}/sweep'"]
            submission = subprocess.Popen(words, env=environment(cache), cwd=tmp_path, stdout=log, stderr=log)
        submissions.append(submission)

        def wait_until(condition) -> None:
            cluster.wait_until(lambda: submission.poll() is not None or condition())
            assert submission.poll() is None, (tmp_path / "submission.log").read_text()

        return submission, wait_until

    yield start
    for submission in submissions:
        submission.kill()
        submission.wait()


def command(*arguments: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-P", "-m", "simplexity.cli", *arguments]
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def kinds(folder: Path) -> list[EventKind]:
    return [event.kind for event in read_ledger(RunDirectory(folder).ledger_path)]


def test_preempted_runs_come_back_and_end_as_if_uninterrupted(dev_cluster, start, tmp_path, runner):
    submission, wait_until = start("seed=0,1,2,3")
    folders = [tmp_path / "sweep" / str(seed) for seed in SEEDS]

    def count(kind: EventKind) -> int:
        return sum(kinds(folder).count(kind) for folder in folders)

    for _ in range(2):
        seen = count(EventKind.CHECKPOINT)
        wait_until(lambda seen=seen: count(EventKind.CHECKPOINT) >= seen + 2)
        stopped = count(EventKind.PREEMPTED)
        dev_cluster("--cpus=1", "--grace=60").preempt_everything()
        wait_until(lambda stopped=stopped: count(EventKind.PREEMPTED) >= stopped + 2)
    assert submission.wait(timeout=600) == 0, (tmp_path / "submission.log").read_text()
    sweep = SweepDirectory.open(tmp_path / "sweep")
    assert [one.state for one in read_status(sweep).runs] == [RunState.COMPLETE] * 4
    for seed, folder in zip(SEEDS, folders, strict=True):
        reference = tmp_path / "reference" / str(seed)
        assert runner.run(reference, "gru", *LONG, f"seed={seed}").returncode == 0
        assert_same_run(folder, reference)
    assert "4 runs: 4 complete" in command("status", str(sweep.path)).stdout
    assert command("results", str(sweep.path)).stdout.count("complete") == 4
    assert "final loss" in command("logs", str(sweep.path), "0").stdout
    assert "preempted" in "".join(command("show", str(folder)).stdout for folder in folders)


def test_a_cancelled_sweep_saves_and_stays_cancelled_until_the_same_command(start, tmp_path):
    endless = ("seed=0", "training.num_train_steps=100000000")
    submission, wait_until = start(*endless)
    folder = tmp_path / "sweep" / "0"
    wait_until(lambda: EventKind.CHECKPOINT in kinds(folder))
    assert "cancelled" in command("cancel", str(tmp_path / "sweep")).stdout
    assert submission.wait(timeout=120) == 1
    assert kinds(folder)[-1] == EventKind.PREEMPTED
    sweep = SweepDirectory.open(tmp_path / "sweep")
    assert [one.state for one in read_status(sweep).runs] == [RunState.CANCELLED]
    refused = command("retry", str(sweep.path))
    assert refused.returncode == 2
    assert "hydra.sweep.dir=" in refused.stderr
    _, wait_until = start(*endless)
    wait_until(lambda: EventKind.RESUME in kinds(folder))
