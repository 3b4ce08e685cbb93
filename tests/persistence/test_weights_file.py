import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open

from simplexity.persistence import copy_to_host, write_weights
from simplexity.persistence._weights_file import read_weights


@pytest.fixture
def written(make_state, tmp_path):
    """A file with every kind of leaf."""
    path = tmp_path / "weights.safetensors"
    write_weights(path, copy_to_host(make_state(1)), 7, {"_target_": "a.Model", "size": 3})
    return path


def test_every_kind_of_leaf_comes_back(written, make_state, same_bits):
    assert same_bits(read_weights(written, make_state(0)).model, make_state(1).model)
    read, saved = copy_to_host(read_weights(written, make_state(0))), copy_to_host(make_state(1))
    assert {name: (array.dtype, array.tobytes()) for name, array in read.items()} == {
        name: (array.dtype, array.tobytes()) for name, array in saved.items()
    }
    assert [file.name for file in written.parent.iterdir()] == [written.name]


def test_other_programs_read_it(written, make_state):
    with safe_open(written, framework="numpy") as file:
        assert file.metadata()["step"] == "7"
        assert json.loads(file.metadata()["model"]) == {"_target_": "a.Model", "size": 3}
        weight = file.get_tensor("model.layers[0].weight")
    assert np.array_equal(weight, make_state(1).model.layers[0].weight)


@pytest.mark.slow
def test_every_process_writes_the_same_bytes(tmp_path):
    script = """
        import sys, numpy as np
        from pathlib import Path
        from simplexity.persistence import write_weights
        write_weights(Path(sys.argv[1]), {"b": np.ones(3, "f4"), "a": np.zeros(2)}, 7, {"size": 3})
    """
    script = "\n".join(line.strip() for line in script.splitlines())
    paths = [tmp_path / str(number) for number in range(2)]
    for path in paths:
        subprocess.run([sys.executable, "-c", script, path], check=True)
    # The library's own order of metadata is one of many, anew in each process and in each call.
    for _ in range(20):
        write_weights(tmp_path / "again", {"b": np.ones(3, "f4"), "a": np.zeros(2)}, 7, {"size": 3})
        paths.append(tmp_path / "again")
        assert len({path.read_bytes() for path in paths}) == 1


def test_corruption_is_found_wherever_it_is(written, make_state):
    content = written.read_bytes()
    for position in range(0, len(content), max(1, len(content) // 60)):
        corrupt = bytearray(content)
        corrupt[position] ^= 0x04
        written.write_bytes(corrupt)
        with pytest.raises((RuntimeError, ValueError), match=r"corrupt|another model saved it"):
            read_weights(written, make_state(0))
    for length in (0, 5, 8, 100, len(content) - 1):
        written.write_bytes(content[:length])
        with pytest.raises(RuntimeError, match="is corrupt: it is not, byte for byte, what was written"):
            read_weights(written, make_state(0))


def test_another_models_file(written, make_state):
    with pytest.raises(ValueError, match=r"weights.safetensors` has `model\.layers.* another model saved it"):
        read_weights(written, make_state(0, width=5))


def test_a_write_that_fails_leaves_the_old_file(written, make_state, same_bits):
    def lost():
        raise RuntimeError("another process took over")

    with pytest.raises(RuntimeError, match="took over"):
        write_weights(written, copy_to_host(make_state(2)), 8, {}, require_held=lost)
    assert same_bits(read_weights(written, make_state(0)).model, make_state(1).model)
    assert [file.name for file in written.parent.iterdir()] == [written.name]
