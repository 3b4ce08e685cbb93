"""The training state after a run's last step, in one file: what a completed run keeps instead of its checkpoints.

A checkpoint of Orbax is some twenty files and folders. Sites limit the number of files, and a sweep of a hundred
thousand runs would have millions. So the last state is one safetensors file, from which the run can be extended with
the same bits.
"""

import json
from collections.abc import Callable
from pathlib import Path

from jaxtyping import PyTree

from simplexity.runs import is_there

from ._leaves import check_same_leaves, copy_to_host, describe_leaves, fill
from ._manifest import Leaf
from ._weights_file import read_arrays, read_metadata, write_arrays


def write_final_state(
    path: Path, step: int, state: PyTree, model_config: object, require_held: Callable[[], object] = lambda: None
) -> None:
    """Replaces `path` in one step, and returns once it is on disk.

    Args:
        path: The file.
        step: The number of training steps.
        state: Its array leaves are copied to the host, typed random keys as their raw words.
        model_config: What the model was built from, in values that JSON has.
        require_held: As in `write_durably`.

    Raises:
        OSError: If it cannot be written; what was there is unchanged.
    """
    metadata = {"step": str(step), "model": json.dumps(model_config), "leaves": json.dumps(describe_leaves(state))}
    write_arrays(path, copy_to_host(state), metadata, require_held)


def read_final_state(path: Path, like: PyTree, prefix: str = "") -> PyTree:
    """What was saved under the name `prefix` (all of it by default), bit for bit, in the form of `like`.

    Args:
        path: A file of `write_final_state`.
        like: A state of the same structure, or the part of it that `prefix` names; shapes may stand for its arrays.
        prefix: "model" for the model alone.

    Raises:
        ValueError: If another model saved it.
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    metadata, arrays = read_arrays(path)
    _check(path, metadata["leaves"], like, prefix)
    return fill(like, arrays, prefix)


def check_final_model(path: Path, like_model: PyTree) -> None:
    """Checks that `read_final_state` would find such a model, without reading the arrays; raises as it does."""
    _check(path, read_metadata(path)["leaves"], like_model, "model")


def final_state_step(path: Path) -> int | None:
    """The step of the state; None if there is no such file.

    Raises:
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    if not is_there(path):
        return None
    try:
        return int(read_metadata(path)["step"])
    except (KeyError, ValueError):
        raise RuntimeError(f"`{path}` was not written by a run") from None


def _check(path: Path, described: str, like: PyTree, prefix: str) -> None:
    leaves = {name: Leaf(tuple(shape), dtype, impl) for name, (shape, dtype, impl) in json.loads(described).items()}
    saved = {name: leaf for name, leaf in leaves.items() if name.startswith(f"{prefix}." if prefix else "")}
    check_same_leaves(saved, describe_leaves(like, prefix), f"`{path}`")
