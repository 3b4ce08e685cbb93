"""The models that a run has saved, in checkpoints and snapshots."""

from typing import Literal, TypeVar

from simplexity.runs import RunDirectory, best_saved_step

from ._reading import restore_weights
from ._snapshots import snapshot_path, snapshot_steps
from ._step_directories import committed_steps
from ._weights_file import read_weights

ModelT = TypeVar("ModelT")


def saved_steps(directory: RunDirectory) -> list[int]:
    """The steps whose model can be read, in ascending order.

    Raises:
        OSError: If a folder cannot be read.
    """
    return sorted({*committed_steps(directory.checkpoints_path), *snapshot_steps(directory.snapshots_path)})


def newest_saved_step(directory: RunDirectory) -> int:
    """The newest of `saved_steps`.

    Raises:
        ValueError: If there is none.
        OSError: If a folder cannot be read.
    """
    steps = saved_steps(directory)
    if not steps:
        raise ValueError(f"`{directory.path}` has saved no model: it has no checkpoint and no snapshot")
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
    """The model as it was after a step, from its snapshot if there is one, or else from its checkpoint.

    Both hold the same bits, and a snapshot is read faster.

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
    if step in snapshot_steps(directory.snapshots_path):
        return read_weights(snapshot_path(directory.snapshots_path, step), like_model)
    steps = saved_steps(directory)
    if step not in steps:
        saved = ", ".join(map(str, steps)) or "none"
        raise ValueError(f"`{directory.path}` has no model of step {step}: saved steps are {saved}")
    return restore_weights(directory.checkpoints_path, like_model, step)
