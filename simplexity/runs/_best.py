"""The saved step with the lowest validation loss, which a checkpointer with `keep_best` keeps, and its record."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ._directory import RunDirectory
from ._reading import is_there, read_file
from ._writing import write_durably


class ScoredStep(NamedTuple):
    """A step with a validation loss that was the lowest so far.

    Attributes:
        step: Number of training steps.
        validation_loss: In nats per token.
    """

    step: int
    validation_loss: float


def read_scores(path: Path) -> list[ScoredStep]:
    """What `write_scores` wrote, in ascending order of steps; nothing if there is no such file.

    Raises:
        RuntimeError: If the file holds something else.
        OSError: If it cannot be read.
    """
    try:
        return [ScoredStep(int(step), float(loss)) for step, loss in json.loads(read_file(path))]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (ValueError, TypeError):
        raise RuntimeError(f"{path} was not written by a run; remove it, and the best step is counted anew") from None


def write_scores(path: Path, scores: Sequence[ScoredStep], require_held: Callable[[], object]) -> None:
    """Replaces the file. Only the process that holds the run's lock may call it.

    Args:
        path: The run's `best_path`.
        scores: The best step, and those that were the best before it, in the order of training.
        require_held: As in `write_durably`.

    Raises:
        OSError: If they cannot be written; then the file is what it was.
    """
    write_durably(path, json.dumps(scores) + "\n", require_held)


def best_saved_step(directory: RunDirectory) -> ScoredStep | None:
    """The saved step with the lowest validation loss; None if the run keeps none (`keep_best`), or has none yet.

    A step is recorded before its checkpoint is written: of the recorded steps the last that is there counts.

    Raises:
        RuntimeError: If the record is not one.
        OSError: If a file cannot be read.
    """
    saved = [one for one in read_scores(directory.best_path) if is_there(directory.checkpoints_path / str(one.step))]
    return saved[-1] if saved else None
