"""The final state in one file: every bit comes back, and nothing else is taken for it."""

import pytest

from simplexity.persistence import (
    check_saved_model,
    final_state_step,
    read_final_state,
    read_model,
    saved_model_digest,
    saved_steps,
    write_final_state,
)
from simplexity.runs import RunDirectory


@pytest.fixture
def directory(tmp_path, make_state):
    directory = RunDirectory(tmp_path)
    write_final_state(directory.final_state_path, 7, make_state(1), {"_target_": "a.Model"})
    return directory


def test_every_kind_of_leaf_comes_back(directory, make_state, same_bits):
    assert final_state_step(directory.final_state_path) == 7
    assert same_bits(read_final_state(directory.final_state_path, make_state(0)), make_state(1))
    assert [file.name for file in directory.path.iterdir()] == [directory.final_state_path.name]


def test_the_model_alone_is_one_of_the_saved_models(directory, make_state, same_bits):
    like = make_state(0).model
    assert saved_steps(directory) == [7]
    assert same_bits(read_model(directory, like), make_state(1).model)
    check_saved_model(directory, like, 7)
    assert len(saved_model_digest(directory, 7)) == 64
    with pytest.raises(ValueError, match=r"has no model of step 8: saved steps are 7"):
        read_model(directory, like, 8)
    with pytest.raises(ValueError, match="another model saved it, or an earlier version of it"):
        check_saved_model(directory, make_state(width=5).model, 7)


def test_another_state_is_refused(directory, make_state):
    with pytest.raises(ValueError, match=r"final_state\.safetensors.*another model saved it"):
        read_final_state(directory.final_state_path, make_state(0, num_moments=1))


def test_corruption_is_found(directory, make_state):
    content = bytearray(directory.final_state_path.read_bytes())
    content[-5] ^= 1
    directory.final_state_path.write_bytes(content)
    with pytest.raises(RuntimeError, match="is corrupt"):
        read_final_state(directory.final_state_path, make_state(0))
    directory.final_state_path.write_bytes(b"no such file")
    with pytest.raises(RuntimeError, match="is corrupt"):
        final_state_step(directory.final_state_path)
