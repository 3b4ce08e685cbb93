from pathlib import Path

import equinox as eqx
import jax
import pytest

from simplexity.persistence._reading import restore_weights


@pytest.fixture
def directory(checkpointer, make_state, tmp_path):
    saver = checkpointer()
    for step in (10, 20):
        saver.save(step, make_state(step, num_moments=1))
    saver.wait()
    return tmp_path / "checkpoints"


def test_takes_the_model_alone_whatever_the_optimizer_was(directory, make_state, same_bits):
    model = restore_weights(directory, make_state(1).model, 20)
    assert same_bits(model, make_state(20).model)
    assert model.activation is jax.nn.relu


@pytest.mark.parametrize(
    ("width", "depth", "message"),
    [
        (
            8,
            1,
            r"`model\.layers\[0\]\.weight` of shape \(4, 3\) \(float32\), this config of shape \(8, 3\) \(float32\)",
        ),
        (4, 2, r"`model\.layers\[1\]\.weight` of shape \(3, 4\) \(float32\), this config of shape \(4, 4\)"),
    ],
)
def test_another_model_is_named_by_leaf_and_both_shapes(directory, make_state, width, depth, message):
    with pytest.raises(ValueError, match=message):
        restore_weights(directory, make_state(width=width, depth=depth).model, 10)


def test_a_leaf_too_many_or_too_few_is_named(directory, make_state):
    linear = make_state().model.layers[0]
    with pytest.raises(ValueError, match=r"has `model\.layers\[1\]\.weight`, which this config lacks"):
        restore_weights(directory, eqx.tree_at(lambda model: model.layers, make_state().model, [linear]), 10)
    with pytest.raises(ValueError, match=r"has no `model\.weight`, which this config needs: another model saved it"):
        restore_weights(directory, linear, 10)


def test_a_missing_step_is_answered_with_those_that_exist(directory, make_state):
    with pytest.raises(ValueError, match=r"no checkpoint of step 15 in `.*`: saved steps are 10, 20$"):
        restore_weights(directory, make_state().model, 15)
    with pytest.raises(ValueError, match=r"`: no step is saved there$"):
        restore_weights(directory.parent / "nowhere", make_state().model, 15)


def test_a_corrupt_one_is_told_and_nothing_is_renamed(directory, make_state):
    (directory / "20" / "manifest.json").write_text("{}")
    with pytest.raises(RuntimeError, match=r"step 20 .* is corrupt \(`manifest\.json` .*\): other saved steps are 10$"):
        restore_weights(directory, make_state().model, 20)
    assert sorted(entry.name for entry in directory.iterdir()) == ["10", "20"]


def test_shapes_are_filled_and_a_relative_path_is_found(directory, make_state, same_bits, monkeypatch):
    monkeypatch.chdir(directory.parent)
    shapes = eqx.filter_eval_shape(lambda: make_state(1).model)
    assert same_bits(restore_weights(Path("checkpoints"), shapes, 20), make_state(20).model)


def test_without_a_step_the_newest_is_taken(directory, make_state, same_bits):
    assert same_bits(restore_weights(directory, make_state().model), make_state(20).model)
    with pytest.raises(ValueError, match=r"no checkpoint in `.*/nowhere`$"):
        restore_weights(directory.parent / "nowhere", make_state().model)
