"""The kill matrix: whatever stops a run, and wherever, the resumed run is bitwise the one that was never stopped."""

import os
import signal
from pathlib import Path

import pytest

from simplexity.runs import EventKind, RunDirectory, read_environments, read_ledger, summarize

from .small_runs import MODELS, assert_same_run, run

PHASES = (
    "import",
    "compile",
    "first_step",
    "mid_chunk",
    "save_before_commit",
    "save_after_commit",
    "validation",
    "completion",
    "restore",
)
SIGNALS = ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGHUP", "SIGINT", "SIGKILL")


def checkpoints_written(run_dir: Path) -> int:
    return sum(event.kind == EventKind.CHECKPOINT for event in read_ledger(RunDirectory(run_dir).ledger_path))


@pytest.mark.parametrize(
    ("signal_name", "phase", "model"),
    [
        (signal_name, phase, list(MODELS)[(i + j) % len(MODELS)])
        for i, signal_name in enumerate(SIGNALS)
        for j, phase in enumerate(PHASES)
    ],
)
def test_resumed_run_is_the_uninterrupted_run(signal_name, phase, model, uninterrupted, runner, cache, tmp_path):
    reference = uninterrupted(model)
    run_dir = tmp_path / "a run"
    if phase == "restore":
        killed = run(run_dir, model, stop_at=("mid_chunk", "SIGKILL", 5), cache=cache)
        assert killed.returncode == -signal.SIGKILL
    count = {"mid_chunk": 5, "save_before_commit": 2, "save_after_commit": 2, "validation": 2}.get(phase, 1)
    exit_code = run(run_dir, model, stop_at=(phase, signal_name, count), cache=cache).returncode
    events = read_ledger(RunDirectory(run_dir).ledger_path)
    if signal_name == "SIGKILL":
        assert exit_code == -signal.SIGKILL
    elif phase == "completion":
        assert exit_code == 0  # all work was done: nothing is left to be resumed
    else:
        assert exit_code == 85
        assert events[-1].kind == EventKind.PREEMPTED
        assert events[-1].stopping_s is not None
        assert events[-1].reason == ("interrupt" if signal_name == "SIGINT" else signal_name)

    resumed = runner.run(run_dir, model)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(run_dir, reference)
    assert checkpoints_written(run_dir) <= checkpoints_written(reference) + 1
    summary = summarize(read_ledger(RunDirectory(run_dir).ledger_path))
    if signal_name != "SIGKILL" and phase != "restore":
        assert summary.goodput.steps_lost == 0


def test_run_that_is_asked_to_leave_does_not_stay_to_draw(uninterrupted, cache, tmp_path):
    drawing = ("figures=true",)
    assert run(tmp_path, "gru", *drawing, stop_at=("trained", "SIGTERM", 1), cache=cache).returncode == 85
    assert not RunDirectory(tmp_path).figures_path.exists()
    assert run(tmp_path, "gru", *drawing, cache=cache).returncode == 0
    assert (RunDirectory(tmp_path).figures_path / "loss.png").is_file()
    assert_same_run(tmp_path, uninterrupted("gru"))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_run_goes_on_bit_for_bit_on_fewer_cores(cache, tmp_path):
    shared_by_two = ("training.batch_size=128", "training.sequence_len=64")
    assert run(tmp_path / "reference", "gru", *shared_by_two, cache=cache).returncode == 0
    stopped = run(tmp_path / "run", "gru", *shared_by_two, stop_at=("mid_chunk", "SIGTERM", 3), cache=cache)
    assert stopped.returncode == 85, stopped.stderr
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        resumed = run(tmp_path / "run", "gru", *shared_by_two, cache=cache)
    finally:
        os.sched_setaffinity(0, cores)
    assert resumed.returncode == 0, resumed.stderr
    records = read_environments(RunDirectory(tmp_path / "run").environment_path)
    assert [record["cpu_count"] for record in records] == [len(cores), 1]
    assert_same_run(tmp_path / "run", tmp_path / "reference")


def test_second_start_of_a_complete_run_does_nothing(uninterrupted, cache):
    run_dir = uninterrupted("gru")
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.suffix in (".jsonl", ".json")}
    done = run(run_dir, "gru", cache=cache)
    assert done.returncode == 0
    assert "is complete" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
