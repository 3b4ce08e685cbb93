"""The models that a run has saved: in checkpoints, in snapshots, and in the final state of a completed run."""

from typing import Literal, TypeVar

from jaxtyping import PyTree

from simplexity.runs import RunDirectory, best_saved_step, is_alive

from ._final_state import check_final_model, final_state_step, read_final_state
from ._manifest import digest_of_file, digest_of_manifest
from ._reading import check_weights, restore_weights
from ._snapshots import snapshot_path, snapshot_steps
from ._step_directories import committed_steps
from ._weights_file import check_weights_file, read_weights

ModelT = TypeVar("ModelT")


def saved_steps(directory: RunDirectory) -> list[int]:
    """The steps whose model can be read, in ascending order.

    Raises:
        RuntimeError: If the final state is corrupt.
        OSError: If a folder cannot be read.
    """
    final = final_state_step(directory.final_state_path)
    steps = {*committed_steps(directory.checkpoints_path), *snapshot_steps(directory.snapshots_path)}
    return sorted(steps if final is None else {*steps, final})


def newest_saved_step(directory: RunDirectory) -> int:
    """The newest of `saved_steps`.

    Raises:
        ValueError: If there is none.
        RuntimeError: If the final state is corrupt.
        OSError: If a folder cannot be read.
    """
    steps = saved_steps(directory)
    if not steps:
        raise _nothing_saved(directory)
    return steps[-1]


def saved_step(directory: RunDirectory, step: int | Literal["best"] | None) -> int:
    """The number of a step that may be named.

    Args:
        directory: The run's.
        step: A number; "best" for the saved step with the lowest validation loss; None for the newest.

    Raises:
        ValueError: If there is none.
        OSError: If a file cannot be read.
    """
    if step is None:
        return newest_saved_step(directory)
    if isinstance(step, int):
        return step
    best = best_saved_step(directory) if step == "best" else None
    if best is None:
        rule = "`persistence.instance.keep_best` keeps the step with the lowest validation loss"
        raise ValueError(f"`{directory.path}` has no step {step!r}: {rule}, from the first validation on")
    return best.step


def read_model(directory: RunDirectory, like_model: ModelT, step: int | Literal["best"] | None = None) -> ModelT:
    """The model as it was after a step, from its snapshot, the final state or a checkpoint.

    All hold the same bits, and what is one file is read faster.

    Args:
        directory: The run's.
        like_model: A model of the same structure, whose arrays are to be replaced; shapes may stand for them.
        step: One of `saved_steps`; "best" for the one with the lowest validation loss; None for the newest.

    Raises:
        ValueError: If that step was not saved, or another model was.
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    step = saved_step(directory, step)
    _require_saved(directory, step)
    if step in snapshot_steps(directory.snapshots_path):
        return read_weights(snapshot_path(directory.snapshots_path, step), like_model)
    if step == final_state_step(directory.final_state_path):
        return read_final_state(directory.final_state_path, like_model, "model")
    return restore_weights(directory.checkpoints_path, like_model, step)


def check_saved_model(directory: RunDirectory, like_model: PyTree, step: int) -> None:
    """Checks that `read_model` would find such a model, without reading the arrays.

    Args:
        directory: The run's.
        like_model: A model of the same structure; shapes may stand for its arrays.
        step: The step after which the model was saved.

    Raises:
        ValueError: If that step was not saved, or another model was.
        RuntimeError: If it is corrupt.
        OSError: If it cannot be read.
    """
    _require_saved(directory, step)
    if step in snapshot_steps(directory.snapshots_path):
        check_weights_file(snapshot_path(directory.snapshots_path, step), like_model)
    elif step == final_state_step(directory.final_state_path):
        check_final_model(directory.final_state_path, like_model)
    else:
        check_weights(directory.checkpoints_path, like_model, step)


def saved_model_digest(directory: RunDirectory, step: int) -> str:
    """A SHA-256 that tells whether a saved model is still the same: of its file, or its checkpoint's manifest.

    Args:
        directory: The run's.
        step: One of `saved_steps`.

    Raises:
        OSError: If it cannot be read.
    """
    if step in committed_steps(directory.checkpoints_path):
        return digest_of_manifest(directory.checkpoints_path / str(step))
    if step == final_state_step(directory.final_state_path):
        return digest_of_file(directory.final_state_path)
    return digest_of_file(snapshot_path(directory.snapshots_path, step))


def _require_saved(directory: RunDirectory, step: int) -> None:
    steps = saved_steps(directory)
    if not steps:
        raise _nothing_saved(directory)
    if step not in steps:
        saved = ", ".join(map(str, steps))
        raise ValueError(f"`{directory.path}` has no model of step {step}: saved steps are {saved}")


def _nothing_saved(directory: RunDirectory) -> ValueError:
    yet = " yet, and is still running" if is_alive(directory.lock_path) else ""
    return ValueError(f"`{directory.path}` has saved no model{yet}: it has no checkpoint and no snapshot")
