"""What goes wrong with files and processes, met by the real script."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simplexity.runs import EventKind, RunDirectory, read_json_lines, read_ledger, summarize

from .small_runs import assert_same_run, command, environment, run, slow_disk
from .terminal import on_terminal

LIBFAKETIME = next(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.fixture(scope="module")
def stopped_once(cache, tmp_path_factory):
    """The directory of a run that was stopped with several checkpoints behind it; only to be copied."""
    run_dir = tmp_path_factory.mktemp("stopped") / "run"
    assert run(run_dir, "gru", stop_at=("save_after_commit", "SIGUSR1", 3), cache=cache).returncode == 85
    return run_dir


@pytest.fixture
def stopped(stopped_once, tmp_path):
    return shutil.copytree(stopped_once, tmp_path / "run")


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


@pytest.mark.parametrize("corrupt", [flip_a_bit, truncate, empty])
def test_corrupt_checkpoint_is_renamed_and_the_run_ends_the_same(corrupt, stopped, uninterrupted, runner):
    checkpoint = newest_checkpoint(stopped)
    corrupt(checkpoint)
    done = runner.run(stopped, "gru")
    assert done.returncode == 0, done.stderr
    assert f"step {checkpoint.name} is corrupt" in done.stdout + done.stderr
    assert list(checkpoint.parent.glob(f"{checkpoint.name}.corrupt-*"))
    assert_same_run(stopped, uninterrupted("gru"))


def test_rule_never_refuses_to_go_on(stopped, runner):
    refused = runner.run(stopped, "gru", "persistence.resume=never")
    assert refused.returncode == 2
    assert refused.stderr.startswith("`persistence.resume`: is never, but the run directory has checkpoints up to step")


def test_changed_config_is_refused_with_the_difference(stopped, runner):
    refused = runner.run(stopped, "gru", "training.batch_size=8")
    assert refused.returncode == 2
    assert "`training.batch_size`: was 4" in refused.stderr
    assert "8" in refused.stderr


def test_complete_run_is_extended_by_more_steps(runner, tmp_path):
    short, long = tmp_path / "short", tmp_path / "long"
    assert runner.run(short, "gru").returncode == 0
    assert runner.run(short, "gru", "training.num_train_steps=50").returncode == 0
    assert runner.run(long, "gru", "training.num_train_steps=50").returncode == 0
    # What was the last step once has a snapshot, which is kept.
    (RunDirectory(short).snapshots_path / "30.safetensors").unlink()
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
        frozen = RunDirectory(run_dir).config_path.read_bytes()
        second = run(run_dir, "gru", endless, "persistence.instance.max_to_keep=7", cache=cache)
        assert second.returncode == 1
        assert RunDirectory(run_dir).config_path.read_bytes() == frozen
        assert len(second.stderr.strip().splitlines()) == 1
        assert str(first.pid) in second.stderr
    finally:
        first.terminate()
    assert first.wait(60) == 85


@pytest.fixture
def small_disk(request, tmp_path):
    """A file system of the size that the test asks for."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted here: that takes root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("small_disk", "save_every", "full"),
    [("600k", 1, r"the checkpoint of step \d+ "), ("48k", "null", r".*/run/metrics\.jsonl`")],
    indirect=["small_disk"],
)
def test_full_disk_ends_the_run_in_one_line(small_disk, save_every, full, cache):
    run_dir = small_disk / "run"
    often = (f"persistence.instance.save_every_steps={save_every}", "persistence.instance.max_to_keep=100")
    done = run(run_dir, "gru", *often, "training.num_train_steps=300", cache=cache)
    assert done.returncode == 1
    assert re.fullmatch(rf"{full}.*: No space left on device.*; free some space there.*\n", done.stderr)
    saved = [path.name for path in RunDirectory(run_dir).checkpoints_path.glob("*")]
    assert all(name.isdigit() for name in saved)


@pytest.mark.slow
def test_run_whose_cache_breaks_is_stopped_and_saved_as_ever(tmp_path):
    cache = tmp_path / "cache"
    # The first program to be kept finds the disk full, and then there is room again.
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os, shutil\n"
        "replace = os.replace\n"
        "def full(source, target):\n"
        f"    if str(target).startswith({str(cache)!r}):\n"
        f"        shutil.rmtree({str(cache)!r})\n"
        "        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))\n"
        "    replace(source, target)\n"
        "os.replace = full\n"
    )
    stop = ("save_after_commit", "SIGUSR1", 1)
    done = run(tmp_path / "run", "gru", cache=cache, stop_at=stop, variables={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 85
    assert done.stdout.count("compiled programs are no longer kept") == 1
    assert done.stderr.count("\n") <= 1
    assert not list(cache.rglob("jit_*"))


URI = "logging.instance.loggers.mlflow.tracking_uri"


def test_mlflow_server_that_hangs_holds_up_neither_training_nor_a_stop(stopped, cache):
    (stopped / "mlflow_run_id").write_text("0" * 32)  # it answered when the run began
    with socket.create_server(("127.0.0.1", 0)) as server:
        uri = f"{URI}=http://127.0.0.1:{server.getsockname()[1]}"
        stop = ("first_step", "SIGUSR1", 1)
        more = "training.num_train_steps=300"
        done = run(stopped, "gru", "logging=mlflow", uri, more, cache=cache, stop_at=stop)
    assert done.returncode == 85
    assert "does not have all metrics of this run (it does not answer)" in done.stdout
    kinds = [event.kind for event in read_ledger(RunDirectory(stopped).ledger_path)]
    assert kinds[-1] == EventKind.PREEMPTED


def test_mlflow_server_that_refuses_ends_a_new_run_in_one_line(cache, tmp_path):
    done = run(tmp_path / "run", "gru", "logging=mlflow", f"{URI}=http://127.0.0.1:9", cache=cache)
    assert done.returncode == 1
    assert re.fullmatch(r"MLflow's store `http://.*` cannot be used: Connection refused; .*\n", done.stderr)


def test_read_only_folder_is_told_before_anything_happens(cache, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    if subprocess.run(["mount", "--bind", "-o", "ro", folder, folder], capture_output=True).returncode != 0:
        pytest.skip("a folder cannot be mounted read-only here: that takes root")
    try:
        done = run(folder / "run", "gru", cache=cache)
    finally:
        subprocess.run(["umount", folder], check=True)
    assert done.returncode == 2
    assert re.fullmatch(r"`hydra.run.dir`: .*/folder/run cannot be written: Read-only file system; .*\n", done.stderr)


def test_slow_disk_delays_a_run_and_changes_nothing(uninterrupted, cache, tmp_path):
    run_dir = tmp_path / "run"
    slow = slow_disk(tmp_path, seconds_per_file=0.05)
    stopped = run(run_dir, "gru", cache=cache, stop_at=("save_before_commit", "SIGTERM", 2), variables=slow)
    assert stopped.returncode == 85, stopped.stderr
    events = read_ledger(RunDirectory(run_dir).ledger_path)
    saved = [event.step for event in events if event.kind == EventKind.CHECKPOINT]
    assert saved[-1] == events[-1].step
    assert run(run_dir, "gru", cache=cache, variables=slow).returncode == 0
    assert_same_run(run_dir, uninterrupted("gru"))


def test_clock_that_runs_backwards_confuses_nothing(uninterrupted, cache, tmp_path):
    if not LIBFAKETIME:
        pytest.skip("the clock cannot be set back here: that takes libfaketime (Debian: apt-get install faketime)")
    clock = {"LD_PRELOAD": LIBFAKETIME, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}
    run_dir = tmp_path / "run"
    # Killed in the future, so that its lock's heartbeat lies there as well; resumed two hours before it began.
    killed = run(
        run_dir, "gru", cache=cache, stop_at=("mid_chunk", "SIGKILL", 5), variables=clock | {"FAKETIME": "+3600s"}
    )
    assert killed.returncode == -signal.SIGKILL
    resumed = run(run_dir, "gru", cache=cache, variables=clock | {"FAKETIME": "-3600s"})
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(run_dir, uninterrupted("gru"))
    events = read_ledger(RunDirectory(run_dir).ledger_path)
    assert events[-1].time < events[0].time - 3600  # however long the two starts take
    assert [event.sequence for event in events] == list(range(len(events)))
    goodput = summarize(events).goodput
    assert min(goodput) >= 0
    assert goodput.total_s < 600
    times_s = [line["time_s"] for line in read_json_lines(RunDirectory(run_dir).metrics_path)]
    assert times_s == sorted(times_s)
    shown = subprocess.run([sys.executable, "-m", "simplexity.cli", "show", run_dir], capture_output=True, text=True)
    assert "complete at step 30" in shown.stdout, shown.stderr


def test_a_rename_that_fails_is_one_line(cache, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, os\n"
        "def failing(really):\n"
        "    def rename(source, *arguments, **options):\n"
        "        if 'uncommitted' in str(source):\n"
        "            raise OSError(errno.EIO, os.strerror(errno.EIO), str(source))\n"
        "        return really(source, *arguments, **options)\n"
        "    return rename\n"
        "os.rename, os.replace = failing(os.rename), failing(os.replace)\n"
    )
    done = run(tmp_path / "run", "gru", cache=cache, variables={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    failed = r"the checkpoint of step \d+ could not be saved in `.*/checkpoints`: Input/output error\n"
    assert re.fullmatch(failed, done.stderr)


def test_a_run_whose_reader_has_gone_is_completed_and_its_log_says_so(cache, tmp_path, uninterrupted):
    words = command(tmp_path / "run", "gru")
    process = subprocess.Popen(words, env=environment(cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(100) == 0
    assert_same_run(tmp_path / "run", uninterrupted("gru"))
    log = (tmp_path / "run" / "run_experiment.log").read_text()
    assert log.count("[WARNING] standard output was closed (Broken pipe): what would be printed there is lost") == 1


def test_a_run_whose_terminal_is_hung_up_saves_and_ends_with_85(cache, tmp_path):
    words = command(
        tmp_path / "run",
        "gru",
        "training.num_train_steps=1000000000",
        "training.log_every=1000",
        "validation.every=100000000",
    )
    with on_terminal(["env", f"SIMPLEXITY_CACHE={cache}", *words], columns=80) as terminal:
        terminal.read_until("steps/s")
        terminal.hang_up()
        assert terminal.process.wait(100) == 85
    assert read_ledger(RunDirectory(tmp_path / "run").ledger_path)[-1].kind == EventKind.PREEMPTED
