"""What saves and restores the states of a run: a protocol, and the two beside Orbax's that a run may have."""

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, runtime_checkable

from omegaconf import DictConfig, OmegaConf

from simplexity.persistence import final_state_step, read_final_state, write_final_state
from simplexity.runs import RunDirectory, UnreadableError, retry_read
from simplexity.training import Checkpointer, TrainState

from ._on_complete import on_complete


@runtime_checkable
class Checkpoints(Checkpointer, Protocol):
    """A checkpointer of training that restores as well."""

    def open(self) -> None:
        """Makes the folder ready to be written."""
        ...

    def steps(self) -> list[int]:
        """The saved steps, in ascending order."""
        ...

    def restore(self, like: TrainState, step: int | None = None) -> tuple[int, TrainState] | None:
        """The newest valid checkpoint, or None."""
        ...

    def close(self) -> None:
        """Waits for what is being saved."""
        ...


class NoCheckpoints:
    """Keeps nothing: a run that is stopped begins again."""

    def open(self) -> None:
        """Does nothing."""

    def next_due_step(self, step: int) -> int | None:
        """None: nothing is ever due."""
        return None

    def due(self, step: int) -> bool:
        """False: nothing is ever due."""
        return False

    def steps(self) -> list[int]:
        """None are saved."""
        return []

    def save(self, step: int, state: TrainState) -> None:
        """Does nothing."""

    def restore(self, like: TrainState, step: int | None = None) -> tuple[int, TrainState] | None:
        """None: there is nothing to restore."""
        return None

    def wait(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class WithFinalState:
    """Checkpoints, and beside them a state in one file: the final one, or the one at which a pack was stopped.

    It takes the place of the checkpoint of that step.

    That file is read in any case, because a run may be extended that was complete and compact, or be resumed by itself
    that was stopped in a pack. A run that keeps its checkpoints removes it when it is complete.

    Args:
        checkpoints: Those of all other steps.
        directory: The run's.
        config: Its config.
        on_commit: Called with the last step when its state is on disk.
        require_held: The run's lock.
        in_one_file: Whether the state of any step is now to be saved so: where a thousand runs of a pack stop at the
            same time, checkpoints would take minutes and many thousands of files.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        directory: RunDirectory,
        config: DictConfig,
        on_commit: Callable[[int], object],
        require_held: Callable[[], object],
        in_one_file: Callable[[], bool] = lambda: False,
    ):
        self._checkpoints = checkpoints
        self._in_one_file = in_one_file
        self._path = directory.final_state_path
        self._num_train_steps = config.training.num_train_steps
        self._last_step = self._num_train_steps if on_complete(config, directory) != "keep" else None
        self._model_config = OmegaConf.to_container(config.predictive_model.instance)
        self._on_commit = on_commit
        self._require_held = require_held
        # One of the user's own may have no such method.
        self.score = getattr(checkpoints, "score", None)

    def open(self) -> None:
        """Makes the folder ready to be written."""
        self._checkpoints.open()

    def next_due_step(self, step: int) -> int | None:
        """As the checkpoints say."""
        return self._checkpoints.next_due_step(step)

    def due(self, step: int) -> bool:
        """As the checkpoints say."""
        return self._checkpoints.due(step)

    def steps(self) -> list[int]:
        """The saved steps, in ascending order."""
        steps = self._checkpoints.steps()
        try:
            final = final_state_step(self._path)
        except UnreadableError:
            raise
        except RuntimeError as error:
            raise RuntimeError(f"{error}; {_remedy(steps)}") from error
        return steps if final is None else sorted({*steps, final})

    def save(self, step: int, state: TrainState) -> None:
        """Saves a checkpoint; the final state in one file, or that of a stop, and returns once that is on disk."""
        if step != self._last_step and not self._in_one_file():
            self._checkpoints.save(step, state)
        elif not self._is_saved_in_one_file(step):
            # A checkpoint takes some twenty files and a hundred times as long, only to be deleted again.
            self._checkpoints.wait()
            write_final_state(self._path, step, state, self._model_config, self._require_held)
            self._on_commit(step)

    def restore(self, like: TrainState, step: int | None = None) -> tuple[int, TrainState] | None:
        """The newest valid state, or None."""
        final = final_state_step(self._path)
        restored = self._checkpoints.restore(like, step) if step is None or step != final else None
        if final is None or step not in (None, final) or (restored is not None and restored[0] >= final):
            return restored
        try:
            return final, read_final_state(self._path, like)
        except RuntimeError as error:
            raise RuntimeError(f"{error}; {_remedy([] if restored is None else [restored[0]])}") from error

    def wait(self) -> None:
        """Waits for what is being saved."""
        self._checkpoints.wait()
        if self._last_step is None and self._num_train_steps in retry_read(self._checkpoints.steps):
            # The one of a stop, or of the end that the run had before it was extended.
            self._require_held()
            self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Waits for what is being saved."""
        self._checkpoints.close()

    def _is_saved_in_one_file(self, step: int) -> bool:
        """False where that is unknown: then the state is written, and nothing of it lost."""
        with suppress(OSError, RuntimeError):
            return final_state_step(self._path) == step
        return False


def _remedy(steps: list[int]) -> str:
    return f"remove it to resume from step {steps[-1]}" if steps else "restore it from a copy"
