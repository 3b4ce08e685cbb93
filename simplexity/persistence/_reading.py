"""Reading checkpoints, whole or the model alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import PyTree

from ._leaves import check_same_leaves, describe_leaves, fill
from ._manifest import CorruptCheckpointError, Leaf, Manifest, read_manifest, verify_files
from ._step_directories import committed_steps, steps_text

ModelT = TypeVar("ModelT")


def restore_step(directory: Path, step: int, like: PyTree, prefix: str = "") -> PyTree:
    """What was saved at `step` under the name `prefix` (all of it by default), in the form of `like`.

    Raises:
        CorruptCheckpointError: If it is not, byte for byte, what was saved.
        ValueError: If it is a valid checkpoint of something else than `like`.
        OSError: If it cannot be read.
    """
    checkpoint = directory / str(step)
    manifest = read_manifest(checkpoint)
    # Before the files are verified: a checkpoint of another model is the user's mistake, and not corrupt.
    saved = _same_leaves(checkpoint, manifest, like, prefix)
    verify_files(checkpoint, manifest)
    # Here, because only a run that is resumed waits for Orbax.
    from ._orbax import restore_arrays

    arrays = restore_arrays(checkpoint)
    # Orbax refuses to save an array without elements; its shape is enough.
    empty = {name: np.zeros(leaf.shape, leaf.dtype) for name, leaf in saved.items() if 0 in leaf.shape}
    return fill(like, arrays | empty, prefix)


def restore_named_step(directory: Path, step: int, like: PyTree, prefix: str = "") -> PyTree:
    """Like `restore_step`, for a step that a person chose: nothing is changed and nothing else is tried.

    Raises:
        ValueError: If there is no such step (those that exist are listed), or it is of something else than `like`.
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    with _named_step(directory, step):
        return restore_step(directory, step, like, prefix)


def restore_weights(directory: Path, like_model: ModelT, step: int | None = None) -> ModelT:
    """The `model` of the training state that was saved at `step`, whatever its optimizer was.

    Args:
        directory: The checkpoints of this or another run; it is only read.
        like_model: A model of the same structure, whose arrays are to be replaced; shapes may stand for them.
        step: A saved step; None for the newest.

    Raises:
        ValueError: If there is no such step (those that exist are listed), or another model saved it.
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    # Orbax refuses relative paths.
    directory = directory.absolute()
    return restore_named_step(directory, newest_step(directory) if step is None else step, like_model, prefix="model")


def check_weights(directory: Path, like_model: PyTree, step: int) -> None:
    """Checks that `restore_weights` would find what it needs, without reading the arrays.

    Args:
        directory: The checkpoints of this or another run.
        like_model: A model of the same structure; shapes may stand for its arrays.
        step: A saved step.

    Raises:
        ValueError: If there is no such step (those that exist are listed), or another model saved it.
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    checkpoint = directory / str(step)
    with _named_step(directory, step):
        _same_leaves(checkpoint, read_manifest(checkpoint), like_model, prefix="model")


def newest_step(directory: Path) -> int:
    """The newest step that was saved.

    Raises:
        ValueError: If there is none.
        OSError: If the directory cannot be read.
    """
    steps = committed_steps(directory)
    if not steps:
        raise ValueError(f"no checkpoint in `{directory}`")
    return steps[-1]


@contextmanager
def _named_step(directory: Path, step: int) -> Iterator[None]:
    """Refuses a step that was not saved; the error about a corrupt one lists the other steps."""
    steps = committed_steps(directory)
    if step not in steps:
        raise ValueError(f"no checkpoint of step {step} in `{directory}`: {steps_text(steps)}")
    try:
        yield
    except CorruptCheckpointError as error:
        others = [other for other in steps if other != step]
        raise RuntimeError(
            f"the checkpoint of step {step} in `{directory}` is corrupt ({error}): {steps_text(others, 'other ')}"
        ) from error


def _same_leaves(checkpoint: Path, manifest: Manifest, like: PyTree, prefix: str) -> dict[str, Leaf]:
    """The leaves that were saved under `prefix`, if they are those of `like`."""
    saved = {name: leaf for name, leaf in manifest.leaves.items() if name.startswith(f"{prefix}." if prefix else "")}
    wanted = describe_leaves(like, prefix)
    check_same_leaves(saved, wanted, f"the checkpoint of step {checkpoint.name} in `{checkpoint.parent}`")
    return saved
