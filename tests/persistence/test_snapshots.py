"""Snapshots in files, on disks that are full, slow or read-only, and when another process has taken over."""

import errno
import logging
import os
import subprocess
import threading

import numpy as np
import pytest

from simplexity.persistence import SnapshotSchedule, SnapshotWriter, _snapshots, read_model, saved_steps, snapshot_steps
from simplexity.runs import RunDirectory, RunLock


def writer(directory, every=10, num_train_steps=25, **settings):
    made = SnapshotWriter(directory, SnapshotSchedule(every=every), num_train_steps, {"size": 4}, **settings)
    made.open()
    return made


def observe(snapshots, step, model):
    assert snapshots.observe(step, model, lambda: False)


def test_the_last_step_is_due_too(tmp_path):
    snapshots = writer(tmp_path / "snapshots")
    due = {-1: 0, 0: 10, 9: 10, 10: 20, 20: 25, 24: 25, 25: None, 30: None}
    assert {step: snapshots.next_due_step(step) for step in due} == due


def test_what_is_flushed_is_there_and_an_observed_step_may_come_again(tmp_path, make_state, same_bits):
    snapshots = writer(tmp_path / "snapshots")
    for step in (0, 10, 20):
        observe(snapshots, step, make_state(step).model)
    snapshots.flush()
    assert snapshot_steps(tmp_path / "snapshots") == [0, 10, 20]
    before = (tmp_path / "snapshots" / "10.safetensors").read_bytes()
    again = writer(tmp_path / "snapshots")
    observe(again, 10, make_state(10).model)
    again.flush()
    assert (tmp_path / "snapshots" / "10.safetensors").read_bytes() == before
    assert same_bits(read_model(RunDirectory(tmp_path), make_state().model, 10), make_state(10).model)


def test_the_model_may_be_donated_as_soon_as_it_was_observed(tmp_path, monkeypatch):
    gate, really_write = threading.Event(), _snapshots.write_weights
    monkeypatch.setattr(_snapshots, "write_weights", lambda *a, **k: (gate.wait(20), really_write(*a, **k)))
    snapshots, array = writer(tmp_path / "snapshots"), np.ones(3)
    observe(snapshots, 0, {"a": array})
    assert snapshot_steps(tmp_path / "snapshots") == []
    array[:] = 5
    gate.set()
    snapshots.flush()
    assert np.array_equal(read_model(RunDirectory(tmp_path), {"a": array}, 0)["a"], np.ones(3))


def test_models_are_read_from_snapshots_and_checkpoints(tmp_path, checkpointer, make_state, same_bits):
    saver, snapshots = checkpointer(), writer(tmp_path / "snapshots")
    saver.save(5, make_state(5))
    saver.wait()
    observe(snapshots, 3, make_state(3).model)
    snapshots.flush()
    directory, like = RunDirectory(tmp_path), make_state().model
    assert saved_steps(directory) == [3, 5]
    assert same_bits(read_model(directory, like), make_state(5).model)
    assert same_bits(read_model(directory, like, 3), make_state(3).model)
    observe(snapshots, 8, make_state(8).model)
    snapshots.flush()
    assert same_bits(read_model(directory, like), make_state(8).model)
    with pytest.raises(ValueError, match=r"has no model of step 4: saved steps are 3, 5, 8$"):
        read_model(directory, like, 4)
    with pytest.raises(ValueError, match=r"has saved no model: it has no checkpoint and no snapshot$"):
        read_model(RunDirectory(tmp_path / "elsewhere"), like)


def test_a_run_that_has_saved_nothing_says_so_and_whether_it_is_running(tmp_path):
    directory = RunDirectory(tmp_path)
    with pytest.raises(ValueError, match="has saved no model: it has no checkpoint"):
        read_model(directory, {}, 7)
    with RunLock(directory.lock_path), pytest.raises(ValueError, match="has saved no model yet, and is still running"):
        read_model(directory, {}, 7)


def test_several_wait_for_a_slow_disk_without_training_waiting_until_they_are_too_many_bytes(tmp_path, monkeypatch):
    gate, really_write = threading.Event(), _snapshots.write_weights
    monkeypatch.setattr(_snapshots, "write_weights", lambda *a, **k: (gate.wait(20), really_write(*a, **k)))
    monkeypatch.setattr(_snapshots, "_MOST_WAITING_BYTES", 100)
    snapshots, model = writer(tmp_path / "snapshots"), {"a": np.ones(4)}  # 32 bytes
    for step in (0, 10, 20):
        observe(snapshots, step, model)
    assert snapshot_steps(tmp_path / "snapshots") == []
    threading.Timer(0.2, gate.set).start()
    observe(snapshots, 25, model)  # the fourth would be more than 100 bytes: waits for the first
    assert gate.is_set()
    assert 0 in snapshot_steps(tmp_path / "snapshots")
    snapshots.flush()
    assert snapshot_steps(tmp_path / "snapshots") == [0, 10, 20, 25]


@pytest.fixture
def quick_retry(monkeypatch):
    monkeypatch.setattr(_snapshots, "_PAUSE_S", 0.01)


def test_a_write_that_fails_once_costs_a_warning(tmp_path, monkeypatch, caplog, quick_retry):
    failures, really_write = [OSError(errno.EIO, "Input/output error")], _snapshots.write_weights

    def write(*arguments, **settings):
        if failures:
            raise failures.pop()
        really_write(*arguments, **settings)

    monkeypatch.setattr(_snapshots, "write_weights", write)
    snapshots = writer(tmp_path / "snapshots")
    observe(snapshots, 0, {"a": np.ones(3)})
    with caplog.at_level(logging.WARNING):
        snapshots.flush()
    (record,) = caplog.records
    assert record.getMessage().endswith("snapshots`: Input/output error; trying again")
    assert snapshot_steps(tmp_path / "snapshots") == [0]


def test_the_names_of_all_snapshots_are_put_on_disk_at_once_and_not_before(tmp_path, monkeypatch, quick_retry):
    synced, failures = [], [OSError(errno.EIO, "Input/output error")]

    def sync(directory):
        if failures:
            raise failures.pop()
        synced.append(snapshot_steps(directory))

    monkeypatch.setattr(_snapshots, "sync_directory", sync)
    snapshots = writer(tmp_path / "snapshots")
    for step in (0, 10):
        observe(snapshots, step, {"a": np.ones(3)})
    for _ in range(2):
        snapshots.flush()
    assert synced == [[0, 10]]


def test_a_full_disk_is_told_before_any_later_step_is_saved(small_disk, quick_retry):
    snapshots = writer(small_disk / "snapshots")
    observe(snapshots, 0, {"a": np.ones(3)})
    observe(snapshots, 10, {"a": np.ones(400_000)})
    for _ in range(2):  # until it is written: none is left out
        with pytest.raises(RuntimeError, match=r"^the snapshot of step 10 could not be written in `.*`: No space left"):
            snapshots.flush()
    assert os.listdir(small_disk / "snapshots") == ["0.safetensors"]


def test_a_read_only_disk_is_told_at_the_start(small_disk):
    (small_disk / "snapshots").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for name in ("snapshots", "new"):
        with pytest.raises(RuntimeError, match=rf"^snapshot directory `.*/{name}` cannot be written: "):
            writer(small_disk / name)


def test_a_holder_that_was_taken_over_writes_nothing(tmp_path):
    def lost():
        raise RuntimeError("another process took over")

    former = writer(tmp_path / "snapshots", require_held=lost)
    observe(former, 0, {"a": np.ones(3)})
    with pytest.raises(RuntimeError, match="took over"):
        former.flush()
    assert os.listdir(tmp_path / "snapshots") == []


def test_what_a_killed_process_had_begun_to_write_is_deleted(tmp_path):
    folder = tmp_path / "snapshots"
    folder.mkdir()
    (folder / ".10.safetensors.1a2b3c4d.tmp").write_bytes(b"half")
    (folder / "notes.txt").write_text("a person's")
    assert snapshot_steps(folder) == []
    writer(folder)
    assert os.listdir(folder) == ["notes.txt"]
