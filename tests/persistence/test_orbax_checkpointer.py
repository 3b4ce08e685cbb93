import subprocess
import sys
import textwrap
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


def test_another_model_is_not_corrupt(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    saver.save(7, make_state())
    saver.wait()
    with pytest.raises(ValueError, match=r"step 7 in .*`model\.layers\[0\]\.weight` of shape \(4, 3\).* \(9, 3\)"):
        saver.restore(make_state(width=9))
    assert saver.steps() == [7]


def test_what_orbax_cannot_read_is_not_corrupt(checkpointer, make_state, monkeypatch):
    saver = checkpointer()
    saver.save(7, make_state())
    saver.wait()

    def refuse(*args, **kwargs):
        raise ValueError("unknown format\nof another version")

    with monkeypatch.context() as patched:
        patched.setattr(ocp.Checkpointer, "restore", refuse)
        with pytest.raises(OSError, match=r"Orbax [\d.]+: unknown format: '.*/7'$"):
            saver.restore(make_state())
    assert saver.steps() == [7]
    assert saver.restore(make_state())[0] == 7


def test_a_named_step_is_used_or_refused(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    for step in (4, 8):
        saver.save(step, make_state(step))
    with pytest.raises(ValueError, match=r"no checkpoint of step 5 .*: saved steps are 4, 8$"):
        saver.restore(make_state(), step=5)
    (tmp_path / "checkpoints" / "8" / "manifest.json").unlink()
    with pytest.raises(RuntimeError, match=r"step 8 .* is corrupt \(.*\): other saved steps are 4$"):
        saver.restore(make_state(), step=8)
    assert saver.steps() == [4, 8]


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


def test_prints_nothing_and_never_asks_for_a_cluster(tmp_path):
    script = """
        import logging, sys, jax, jax.numpy as jnp
        from pathlib import Path
        logging.basicConfig(level=logging.INFO, stream=sys.stdout)
        logging.getLogger("jax").setLevel(logging.WARNING)
        from simplexity.persistence import OrbaxCheckpointer
        saver = OrbaxCheckpointer(Path(sys.argv[1]), 2, None, 10, None)
        saver.open()
        saver.save(10, {"a": jnp.arange(3.0)})
        saver.wait()
        saver.restore({"a": jnp.zeros(3)})
        saver.close()
        assert not jax.distributed.is_initialized()
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), tmp_path / "checkpoints"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
