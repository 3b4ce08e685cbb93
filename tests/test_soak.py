"""One run, killed at random moments again and again, ends as if nothing had happened."""

import random
import signal
import subprocess
import time

from simplexity.runs import EventKind, RunDirectory, read_ledger

from .small_runs import assert_same_run, command, environment, run

LONG = (
    "training.num_train_steps=600",
    "training.log_every=20",
    "validation.every=100",
    "persistence.instance.save_every_steps=15",
    "persistence.snapshots.every=17",
)


def test_run_killed_at_random_moments_ends_bitwise_equal(request, cache, tmp_path):
    kills = request.config.getoption("--kills")
    chance = random.Random(0)
    reference = tmp_path / "reference"
    started = time.monotonic()
    assert run(reference, "gru", *LONG, cache=cache).returncode == 0
    duration_s = time.monotonic() - started
    run_dir = tmp_path / "run"
    ledger = RunDirectory(run_dir).ledger_path
    killed = 0
    while killed < kills:
        process = subprocess.Popen(
            command(run_dir, "gru", *LONG), env=environment(cache), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0, 1.2 * duration_s))
        process.send_signal(chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGUSR1]))
        exit_code = process.wait(120)
        # 1: several kills in a row came before the first checkpoint. That counts as no progress, once.
        assert exit_code in (0, 1, 85, -signal.SIGKILL)
        killed += 1
        if exit_code == 0 or any(event.kind == EventKind.COMPLETE for event in read_ledger(ledger)):
            assert_same_run(run_dir, reference)
            run_dir = tmp_path / f"run after {killed} kills"
            ledger = RunDirectory(run_dir).ledger_path
    while (done := run(run_dir, "gru", *LONG, cache=cache)).returncode == 1:
        assert "not started again" in done.stderr
    assert done.returncode == 0, done.stderr
    assert_same_run(run_dir, reference)
