"""Checkpoints on disks that are corrupt, slow, full or read-only, and of processes that are killed."""

import errno
import logging
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time

import jax
import jax.numpy as jnp
import pytest

from simplexity.persistence import OrbaxCheckpointer, _orbax_checkpointer


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "delete_file", "no_directory_content"])
def test_a_corrupt_checkpoint_is_renamed_and_the_one_before_it_used(
    checkpointer, make_state, same_bits, tmp_path, caplog, how
):
    saver = checkpointer()
    for step in (1, 2):
        saver.save(step, make_state(step))
    saver.wait()
    _corrupt(tmp_path / "checkpoints" / "2", how)
    with caplog.at_level(logging.WARNING):
        step, restored = saver.restore(make_state())
    assert step == 1
    assert same_bits(restored, make_state(1))
    (record,) = caplog.records
    assert record.getMessage().startswith("the checkpoint of step 2 is corrupt (`")
    assert "\n" not in record.getMessage()
    assert (tmp_path / "checkpoints" / "2.corrupt-1").is_dir()
    saver.save(2, make_state(2))
    saver.wait()
    assert same_bits(saver.restore(make_state())[1], make_state(2))


def _corrupt(checkpoint, how):
    data = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    if how == "flip":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 0x10
        data.write_bytes(content)
    elif how == "truncate":
        os.truncate(data, data.stat().st_size // 2)
    elif how == "empty":
        for path in checkpoint.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)
    elif how == "delete_file":
        data.unlink()
    else:
        shutil.rmtree(checkpoint)
        checkpoint.mkdir()


def test_a_flipped_byte_in_any_file_is_found(checkpointer, make_state, tmp_path, caplog):
    saver = checkpointer()
    saver.save(1, make_state(1))
    saver.wait()
    checkpoint, spare = tmp_path / "checkpoints" / "1", tmp_path / "spare"
    shutil.copytree(checkpoint, spare)
    files = sorted(path.relative_to(spare) for path in spare.rglob("*") if path.is_file())
    assert len(files) >= 10
    for file in files:
        for share in (0.0, 0.3, 0.6, 0.999):
            content = bytearray((spare / file).read_bytes())
            content[int(share * len(content))] ^= 0x04
            (checkpoint / file).write_bytes(content)
            assert saver.restore(make_state()) is None, (file, share)
            shutil.copytree(spare, checkpoint)
    assert len(caplog.records) == 4 * len(files)


def test_if_all_are_corrupt_there_is_none_and_none_is_lost(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    for step in (1, 2):
        saver.save(step, make_state())
        saver.wait()
        (tmp_path / "checkpoints" / str(step) / "manifest.json").unlink()
    assert saver.restore(make_state()) is None
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["1.corrupt-1", "2.corrupt-1"]


def test_a_save_waits_for_the_one_before_it(checkpointer, make_state, monkeypatch):
    gate, entered, real = threading.Event(), threading.Event(), _orbax_checkpointer.write_manifest

    def slow_disk(*args):
        entered.set()
        assert gate.wait(20)
        real(*args)

    monkeypatch.setattr(_orbax_checkpointer, "write_manifest", slow_disk)
    saver, state = checkpointer(), make_state()
    saver.save(1, state)
    assert entered.wait(20)
    assert saver.steps() == []
    threading.Timer(0.3, gate.set).start()
    started_s = time.monotonic()
    saver.save(2, state)
    assert time.monotonic() - started_s > 0.2
    assert saver.steps() == [1]
    saver.wait()
    assert saver.steps() == [1, 2]


def test_a_full_disk_is_told_once_and_costs_no_saved_checkpoint(
    small_disk, checkpointer, make_state, same_bits, caplog
):
    saver = checkpointer(small_disk / "checkpoints")
    saver.save(1, make_state(1))
    saver.save(2, {"large": jax.random.normal(jax.random.key(0), (400_000,))})
    with pytest.raises(
        RuntimeError, match=r"step 2 could not be saved in `.*/disk/checkpoints`: No space left"
    ) as caught:
        saver.wait()
    assert "\n" not in str(caught.value)
    assert os.listdir(small_disk / "checkpoints") == ["1"]
    assert same_bits(saver.restore(make_state()), (1, make_state(1)))
    saver.save(3, {"large": jax.random.normal(jax.random.key(0), (400_000,))})
    # The state that is there now is saved before a word is said of the one that could not be.
    saver.save(4, make_state(4))
    assert saver.steps() == [1, 4]
    (record,) = caplog.records
    assert record.getMessage().startswith("the checkpoint of step 3 could not be saved in ")
    assert record.getMessage().endswith("; the state of step 4 is saved")
    for _ in range(2):
        saver.save(5, {"large": jax.random.normal(jax.random.key(0), (400_000,))})
        with pytest.raises(RuntimeError, match="step 6 could not be saved"):
            saver.save(6, {"large": jax.random.normal(jax.random.key(0), (400_000,))})
    saver.save(7, make_state(7))
    saver.close()
    assert saver.steps() == [1, 4, 7]


def test_a_read_only_disk_is_told_at_the_start(small_disk):
    (small_disk / "checkpoints").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(RuntimeError, match=r"`.*/checkpoints` cannot be written"):
        OrbaxCheckpointer(small_disk / "checkpoints", 2, None, None, None).open()
    with pytest.raises(RuntimeError, match=r"`.*/new` cannot be created: Read-only file system"):
        OrbaxCheckpointer(small_disk / "new", 2, None, None, None).open()


def test_a_kill_leaves_whole_checkpoints_and_remains_that_the_next_run_removes(tmp_path, checkpointer):
    script = """
        import os, sys, time, jax.numpy as jnp
        from pathlib import Path
        from simplexity.persistence import OrbaxCheckpointer, _orbax_checkpointer
        saver = OrbaxCheckpointer(Path(sys.argv[1]), 2, None, None, None)
        saver.open()
        saver.save(1, {"a": jnp.arange(1000.0)})
        saver.wait()
        _orbax_checkpointer.commit = lambda *_: os.kill(os.getpid(), 9)
        saver.save(2, {"a": jnp.arange(1000.0)})
        time.sleep(60)
    """
    directory = tmp_path / "checkpoints"
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script), directory], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert sorted(os.listdir(directory)) == ["1", "2.uncommitted-0"]
    saver, like = checkpointer(directory), {"a": jnp.zeros(1000)}
    step, restored = saver.restore(like)
    assert step == 1
    saver.save(2, restored)
    saver.wait()
    assert sorted(os.listdir(directory)) == ["1", "2"]


def test_an_older_checkpoint_is_deleted_only_once_the_new_one_and_its_name_are_on_disk(
    checkpointer, make_state, tmp_path, monkeypatch
):
    saver, synced = checkpointer(max_to_keep=2), []
    for step in (1, 2):
        saver.save(step, make_state(step))
    saver.wait()
    really_sync, really_delete = os.fsync, _orbax_checkpointer.delete

    def fsync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        really_sync(descriptor)

    def delete(directory, step, holder):
        assert synced[-1] == str(directory)
        new = directory / "3"
        written = {str(path).replace(str(new), str(directory / "3.uncommitted-0")) for path in [new, *new.rglob("*")]}
        assert written <= set(synced)
        really_delete(directory, step, holder)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(_orbax_checkpointer, "delete", delete)
    saver.save(3, make_state(3))
    saver.wait()
    assert saver.steps() == [2, 3]


def test_a_holder_that_was_taken_over_commits_and_deletes_nothing(checkpointer, make_state, same_bits, tmp_path):
    lost = False

    def require_held():
        if lost:
            raise RuntimeError("another process took over")
        return 3

    former = checkpointer(require_held=require_held, max_to_keep=2)
    for step in (1, 2):
        former.save(step, make_state(step))
    former.wait()
    present = checkpointer(require_held=lambda: 4, max_to_keep=5)
    (tmp_path / "checkpoints" / "3.uncommitted-4").mkdir()
    lost = True
    former.save(3, make_state(3))
    with pytest.raises(RuntimeError, match=r"step 3 could not be saved .*: another process took over"):
        former.wait()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["1", "2", "3.uncommitted-4"]
    assert same_bits(present.restore(make_state()), (2, make_state(2)))


def test_a_folder_that_cannot_be_listed_at_a_save_costs_no_checkpoint(checkpointer, make_state, monkeypatch):
    real, failures = _orbax_checkpointer.committed_steps, iter([OSError(errno.EIO, "Input/output error", "x")] * 2)
    saver = checkpointer()

    def listed(directory):
        if error := next(failures, None):
            raise error
        return real(directory)

    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(_orbax_checkpointer, "committed_steps", listed)
    saver.save(1, make_state(1))
    saver.wait()
    assert saver.steps() == [1]


def test_a_saved_checkpoint_is_saved_though_an_older_one_cannot_be_deleted(
    checkpointer, make_state, monkeypatch, caplog
):
    saver = checkpointer(max_to_keep=2)

    def fails(*arguments):
        raise OSError(errno.EIO, "Input/output error", "x")

    with monkeypatch.context() as patch:
        patch.setattr(_orbax_checkpointer, "delete", fails)
        for step in (1, 2, 3):
            saver.save(step, make_state(step))
            saver.wait()
    assert saver.steps() == [1, 2, 3]
    assert "older checkpoints in" in caplog.text
    assert "could not be deleted: Input/output error" in caplog.text
    saver.save(4, make_state(4))
    saver.wait()
    assert saver.steps() == [3, 4]


def test_a_failed_save_is_reported_though_what_it_left_cannot_be_looked_at(checkpointer, make_state, monkeypatch):
    saver = checkpointer()

    def fails(*arguments):
        raise OSError(errno.EIO, "Input/output error", "x")

    monkeypatch.setattr(_orbax_checkpointer, "commit", fails)
    monkeypatch.setattr(_orbax_checkpointer, "delete_leftovers", fails)
    saver.save(1, make_state(1))
    with pytest.raises(RuntimeError, match="the checkpoint of step 1 could not be saved"):
        saver.wait()
