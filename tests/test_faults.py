"""What goes wrong with files and processes, met by the real script."""

import os
import shutil
import subprocess
import time

import pytest

from simplexity.runs import EventKind, RunDirectory, read_ledger

from .small_runs import assert_same_run, command, environment, run


@pytest.fixture
def stopped(cache, tmp_path):
    """The directory of a run that was stopped with several checkpoints behind it."""
    run_dir = tmp_path / "run"
    assert run(run_dir, "gru", stop_at=("save_after_commit", "SIGUSR1", 3), cache=cache).returncode == 85
    return run_dir


def newest_checkpoint(run_dir):
    steps = [path for path in RunDirectory(run_dir).checkpoints_path.iterdir() if path.name.isdigit()]
    return max(steps, key=lambda path: int(path.name))


def flip_a_bit(checkpoint):
    largest = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)


def truncate(checkpoint):
    for path in checkpoint.rglob("*"):
        if path.is_file():
            os.truncate(path, path.stat().st_size // 2)


def empty(checkpoint):
    shutil.rmtree(checkpoint)
    checkpoint.mkdir()


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, empty])
def test_damaged_checkpoint_is_set_aside_and_the_run_ends_the_same(damage, stopped, uninterrupted, cache):
    checkpoint = newest_checkpoint(stopped)
    damage(checkpoint)
    done = run(stopped, "gru", cache=cache)
    assert done.returncode == 0, done.stderr
    assert f"step {checkpoint.name} is damaged" in done.stdout + done.stderr
    assert list(checkpoint.parent.glob(f"{checkpoint.name}.corrupt-*"))
    assert_same_run(stopped, uninterrupted("gru"))


def test_run_without_any_checkpoint_left_begins_again_unless_it_must_not(stopped, uninterrupted, cache):
    shutil.rmtree(RunDirectory(stopped).checkpoints_path)
    refused = run(stopped, "gru", "persistence.resume=required", cache=cache)
    assert refused.returncode == 2
    assert "`persistence.resume`" in refused.stderr
    assert run(stopped, "gru", cache=cache).returncode == 0
    assert_same_run(stopped, uninterrupted("gru"))


def test_rule_never_refuses_to_go_on(stopped, cache):
    refused = run(stopped, "gru", "persistence.resume=never", cache=cache)
    assert refused.returncode == 2
    assert refused.stderr.startswith("`persistence.resume`: is never, but the run directory has checkpoints up to step")


def test_changed_config_is_refused_with_the_difference(stopped, cache):
    refused = run(stopped, "gru", "training.batch_size=8", cache=cache)
    assert refused.returncode == 2
    assert "`training.batch_size`: was 4" in refused.stderr
    assert "8" in refused.stderr


def test_complete_run_is_extended_by_more_steps(cache, tmp_path):
    short, long = tmp_path / "short", tmp_path / "long"
    assert run(short, "gru", cache=cache).returncode == 0
    assert run(short, "gru", "training.num_train_steps=50", cache=cache).returncode == 0
    assert run(long, "gru", "training.num_train_steps=50", cache=cache).returncode == 0
    assert_same_run(short, long)


def test_second_process_in_a_run_directory_is_refused(cache, tmp_path):
    run_dir = tmp_path / "run"
    endless = "training.num_train_steps=100000000"
    first = subprocess.Popen(command(run_dir, "gru", endless), env=environment(cache), stdout=subprocess.DEVNULL)
    try:
        ledger = RunDirectory(run_dir).ledger_path
        deadline = time.monotonic() + 120
        while not any(event.kind == EventKind.FIRST_STEP for event in read_ledger(ledger)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        second = run(run_dir, "gru", endless, cache=cache)
        assert second.returncode == 1
        assert len(second.stderr.strip().splitlines()) == 1
        assert str(first.pid) in second.stderr
    finally:
        first.terminate()
    assert first.wait(60) == 85


def test_full_disk_ends_the_run_in_one_line_and_spares_what_was_saved(cache, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here: that takes root")
    try:
        often = (
            "persistence.instance.max_to_keep=100",
            "persistence.instance.save_every_steps=1",
            "training.num_train_steps=300",
        )
        words = command(disk / "run", "gru", *often)
        done = subprocess.run(words, env=environment(cache), capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 1
        # Orbax's own threads may complain before it.
        last = done.stderr.strip().splitlines()[-1]
        assert "No space left on device" in last
        assert str(disk / "run") in last
        assert newest_checkpoint(disk / "run").name.isdigit()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
