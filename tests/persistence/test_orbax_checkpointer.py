import logging
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
import pytest

from simplexity.persistence import OrbaxCheckpointer, _orbax_checkpointer


def test_restores_every_bit_of_the_newest(checkpointer, make_state, same_bits):
    states = {step: make_state(step) for step in (3, 10, 20)}
    writer = checkpointer()
    for step, state in states.items():
        writer.save(step, state)
    writer.wait()
    reader = checkpointer()
    assert reader.steps() == [3, 10, 20]
    step, restored = reader.restore(make_state(1))
    assert step == 20
    assert same_bits(restored, states[20])
    assert same_bits(reader.restore(make_state(1), step=3)[1], states[3])


def test_nothing_saved_restores_nothing(checkpointer, make_state):
    assert checkpointer().restore(make_state()) is None


def test_relative_paths_are_those_of_the_start(checkpointer, make_state, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saver = checkpointer(Path("relative"))
    monkeypatch.chdir("/")
    saver.save(1, make_state())
    saver.wait()
    assert (tmp_path / "relative" / "1" / "manifest.json").is_file()


def test_a_state_may_be_donated_right_after_saving(checkpointer):
    @eqx.filter_jit(donate="all")
    def overwrite(state):
        return jax.tree.map(lambda a: -a, state)

    saver, state = checkpointer(), {"a": jnp.arange(50_000.0), "b": jnp.arange(3)}
    saver.save(1, state)
    jax.block_until_ready(overwrite(state))
    saver.wait()
    assert state["a"].is_deleted()
    _, restored = saver.restore(state)
    assert bool(jnp.array_equal(restored["a"], jnp.arange(50_000.0)))


def test_restoring_compiles_no_further_program(checkpointer, make_state):
    saver, state = checkpointer(), make_state()
    step = eqx.filter_jit(lambda s: eqx.tree_at(lambda t: t.step, s, s.step + 1))
    step(state)
    saver.save(1, state)
    step(saver.restore(state)[1])
    assert step._cached._cache_size() == 1


def test_orbax_alone_reads_a_checkpoint(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    saver.save(5, make_state())
    saver.save(9, make_state(9))
    saver.wait()
    (tmp_path / "checkpoints" / "9").rename(tmp_path / "checkpoints" / "9.corrupt-1")
    with ocp.CheckpointManager(tmp_path / "checkpoints") as orbax:
        assert orbax.latest_step() == 5
        arrays = orbax.restore(5, args=ocp.args.Composite(state=ocp.args.PyTreeRestore()))["state"]
    assert arrays["model.layers[0].weight"].shape == (4, 3)


def test_a_saved_step_is_not_saved_again(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    saver.save(5, make_state())
    saver.wait()
    manifest = tmp_path / "checkpoints" / "5" / "manifest.json"
    before = manifest.stat()
    saver.save(5, make_state(1))
    saver.wait()
    assert (manifest.stat().st_ino, manifest.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_keeps_the_newest_and_multiples(checkpointer, make_state):
    saver, state = checkpointer(max_to_keep=2, keep_every_steps=20), make_state()
    for step in (5, 15, 25, 35, 45, 55):
        saver.save(step, state)
    saver.wait()
    assert saver.steps() == [25, 45, 55]


def test_each_commit_is_told_when_it_is_one(checkpointer, make_state):
    told = []
    saver = checkpointer(on_commit=lambda step: told.append((step, saver.steps())))
    for step in (5, 5, 9):
        saver.save(step, make_state())
    saver.wait()
    assert told == [(5, [5]), (9, [5, 9])]


def test_is_due_by_time_since_the_last_save_or_restore(checkpointer, make_state, monkeypatch):
    now_s = 1000.0
    monkeypatch.setattr(_orbax_checkpointer.time, "monotonic", lambda: now_s)
    saver = checkpointer(save_every_minutes=2.0)
    assert not saver.due(10)
    now_s += 121
    assert saver.due(10)
    saver.save(10, make_state())
    assert not saver.due(11)
    now_s += 121
    assert saver.due(11)
    saver.restore(make_state())
    assert not saver.due(11)
    assert saver.next_due_step(11) is None


def test_is_due_by_steps_since_the_restored_one(checkpointer, make_state):
    saver = checkpointer(save_every_steps=100)
    assert (saver.due(99), saver.due(100), saver.next_due_step(100)) == (False, True, 200)
    saver.save(100, make_state())
    resumed = checkpointer(save_every_steps=100)
    saver.wait()
    resumed.restore(make_state())
    assert (resumed.due(100), resumed.due(150), resumed.due(200)) == (False, False, True)


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "delete_file", "no_directory_content"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(
    checkpointer, make_state, same_bits, tmp_path, caplog, damage
):
    saver = checkpointer()
    for step in (1, 2):
        saver.save(step, make_state(step))
    saver.wait()
    _damage(tmp_path / "checkpoints" / "2", damage)
    with caplog.at_level(logging.WARNING):
        step, restored = saver.restore(make_state())
    assert step == 1
    assert same_bits(restored, make_state(1))
    (record,) = caplog.records
    assert record.getMessage().startswith("the checkpoint of step 2 is damaged (`")
    assert "\n" not in record.getMessage()
    assert (tmp_path / "checkpoints" / "2.corrupt-1").is_dir()
    saver.save(2, make_state(2))
    saver.wait()
    assert same_bits(saver.restore(make_state())[1], make_state(2))


def _damage(checkpoint, damage):
    data = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    if damage == "flip":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 0x10
        data.write_bytes(content)
    elif damage == "truncate":
        os.truncate(data, data.stat().st_size // 2)
    elif damage == "empty":
        for path in checkpoint.rglob("*"):
            if path.is_file():
                os.truncate(path, 0)
    elif damage == "delete_file":
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


def test_if_all_are_damaged_there_is_none_and_none_is_lost(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    for step in (1, 2):
        saver.save(step, make_state())
        saver.wait()
        (tmp_path / "checkpoints" / str(step) / "manifest.json").unlink()
    assert saver.restore(make_state()) is None
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["1.corrupt-1", "2.corrupt-1"]


def test_another_model_is_no_damage(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    saver.save(7, make_state())
    saver.wait()
    with pytest.raises(ValueError, match=r"step 7 in .*`model\.layers\[0\]\.weight` of shape \(4, 3\).* \(9, 3\)"):
        saver.restore(make_state(width=9))
    assert saver.steps() == [7]


def test_a_named_step_is_used_or_refused(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    for step in (4, 8):
        saver.save(step, make_state(step))
    with pytest.raises(ValueError, match=r"no checkpoint of step 5 .*: saved steps are 4, 8$"):
        saver.restore(make_state(), step=5)
    (tmp_path / "checkpoints" / "8" / "manifest.json").unlink()
    with pytest.raises(RuntimeError, match=r"step 8 .* is damaged \(.*\): other saved steps are 4$"):
        saver.restore(make_state(), step=8)
    assert saver.steps() == [4, 8]


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


def test_a_full_disk_is_told_once_and_costs_no_saved_checkpoint(small_disk, make_state, same_bits):
    saver = OrbaxCheckpointer(small_disk / "checkpoints", 2, None, None, None)
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
    with pytest.raises(RuntimeError, match="step 3 could not be saved"):
        saver.save(4, make_state(4))
    saver.save(5, make_state(5))
    saver.close()
    assert saver.steps() == [1, 5]


def test_a_read_only_disk_is_told_at_the_start(small_disk):
    (small_disk / "checkpoints").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(RuntimeError, match=r"`.*/checkpoints` cannot be written"):
        OrbaxCheckpointer(small_disk / "checkpoints", 2, None, None, None)
    with pytest.raises(RuntimeError, match=r"`.*/new` cannot be created: Read-only file system"):
        OrbaxCheckpointer(small_disk / "new", 2, None, None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, None, None, None), "`max_to_keep` must be at least 2, got 1"),
        ((2, 0, None, None), "`keep_every_steps` must be at least 1"),
        ((2, None, 0, None), "`save_every_steps` must be at least 1"),
        ((2, None, None, -1.0), "`save_every_minutes` must be positive"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_made(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        OrbaxCheckpointer(tmp_path / "checkpoints", *arguments)
    assert not (tmp_path / "checkpoints").exists()


def test_a_kill_leaves_whole_checkpoints_and_remains_that_the_next_run_removes(tmp_path, checkpointer):
    script = """
        import os, sys, time, jax.numpy as jnp
        from pathlib import Path
        from simplexity.persistence import OrbaxCheckpointer, _orbax_checkpointer
        saver = OrbaxCheckpointer(Path(sys.argv[1]), 2, None, None, None)
        saver.save(1, {"a": jnp.arange(1000.0)})
        saver.wait()
        _orbax_checkpointer.commit = lambda *_: os.kill(os.getpid(), 9)
        saver.save(2, {"a": jnp.arange(1000.0)})
        time.sleep(60)
    """
    directory = tmp_path / "checkpoints"
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script), directory], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    assert sorted(os.listdir(directory)) == ["1", "2.uncommitted"]
    saver, like = checkpointer(directory), {"a": jnp.zeros(1000)}
    step, restored = saver.restore(like)
    assert step == 1
    saver.save(2, restored)
    saver.wait()
    assert sorted(os.listdir(directory)) == ["1", "2"]


def test_prints_nothing_and_never_asks_for_a_cluster(tmp_path):
    script = """
        import logging, sys, jax, jax.numpy as jnp
        from pathlib import Path
        logging.basicConfig(level=logging.INFO, stream=sys.stdout)
        logging.getLogger("jax").setLevel(logging.WARNING)
        from simplexity.persistence import OrbaxCheckpointer
        saver = OrbaxCheckpointer(Path(sys.argv[1]), 2, None, 10, None)
        saver.save(10, {"a": jnp.arange(3.0)})
        saver.wait()
        saver.restore({"a": jnp.zeros(3)})
        saver.close()
        assert not jax.distributed.is_initialized()
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), tmp_path / "checkpoints"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
