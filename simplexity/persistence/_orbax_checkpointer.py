"""Checkpoints of the whole training state, written beside the training."""

import logging
import os
import time
from collections.abc import Callable
from concurrent import futures
from contextlib import suppress
from pathlib import Path

from jaxtyping import PyTree

from simplexity.runs import BEST_FILE, UnreadableError, reason, retry_read

from ._best_step import BestStep
from ._leaves import HostArrays, copy_to_host, describe_leaves
from ._manifest import CorruptCheckpointError, Leaf, write_manifest
from ._reading import restore_named_step, restore_step
from ._save_policy import RetentionPolicy, SavePolicy
from ._step_directories import (
    commit,
    committed_steps,
    delete,
    delete_leftovers,
    quarantine,
    require_space,
    steps_text,
    uncommitted,
)

_log = logging.getLogger(__name__)


def load_orbax() -> None:
    """Imports Orbax, for which the first save, perhaps that after a signal, would wait otherwise."""
    from . import _orbax  # noqa: F401


class OrbaxCheckpointer:
    """Saves states into `directory/STEP/`, restores them, and knows when the next one is due.

    `save` copies the state to the host and returns. One background thread writes it with Orbax, adds the checksums,
    commits it by a rename, and only then deletes the checkpoints that the retention policy no longer keeps.

    A new one has written nothing yet: call `open` before anything else. Before the process exits, call `wait` or
    `close`: what is not committed is lost.

    Args:
        directory: Where the checkpoints lie.
        max_to_keep: How many of the newest checkpoints stay, at least 2.
        keep_every_steps: The first checkpoint at or past each multiple of this stays for good; None for no others.
        save_every_steps: A checkpoint is due at each multiple of this; None for none by steps.
        save_every_minutes: A checkpoint is due when the last is this old; None for none by time.
        on_commit: Called with each step that is committed, by the background thread; supplied by the program.
        require_held: The run's lock (`RunLock.require_held`), supplied by the program: the number of this process among
            its holders. It is called before anything is committed or deleted, to raise if another has taken over.
        keep_best: Whether a checkpoint is also due after each validation with a lower loss than all before, and the
            best one stays.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        directory: Path,
        max_to_keep: int,
        keep_every_steps: int | None,
        save_every_steps: int | None,
        save_every_minutes: float | None,
        on_commit: Callable[[int], object] = lambda step: None,
        require_held: Callable[[], int] = lambda: 0,
        keep_best: bool = False,
    ) -> None:
        self._retention_policy = RetentionPolicy(max_to_keep, keep_every_steps)
        self._save_policy = SavePolicy(save_every_steps, save_every_minutes)
        # Orbax refuses relative paths, and the current directory may change.
        self._directory = Path(directory).absolute()
        self._best = BestStep(self._directory / BEST_FILE, require_held) if keep_best else None
        self._on_commit = on_commit
        self._require_held = require_held
        self._holder = 0
        self._writer = futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._pending: futures.Future[None] | None = None
        self._mark_saved(0)

    def open(self) -> None:
        """Makes the directory, if need be, and deletes what others left in it that is no checkpoint.

        Raises:
            RuntimeError: If it cannot be created or written.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RuntimeError(
                f"checkpoint directory `{self._directory}` cannot be created: {reason(error)}"
            ) from error
        # os.access knows of file systems mounted read-only, for root as well.
        if not os.access(self._directory, os.W_OK | os.X_OK):
            raise RuntimeError(
                f"checkpoint directory `{self._directory}` cannot be written: make it writable or choose another"
            )
        self._holder = self._require_held()
        # Before the steps are listed: from now on, a former holder that wakes up commits nothing more.
        delete_leftovers(self._directory, self._holder)
        if self._best is not None:
            self._best.open()

    def next_due_step(self, step: int) -> int | None:
        """The first step after `step` at which a checkpoint is due by number of steps; None if none is."""
        return self._save_policy.next_due_step(step)

    def due(self, step: int) -> bool:
        """Whether a checkpoint is due now: by steps, by time since the last save or restore, or by its score."""
        if self._best is not None and self._best.is_at(step) and step > self._last_step:
            return True
        # Monotonic, so that a clock set back delays nothing.
        return self._save_policy.due(step, self._last_step, time.monotonic() - self._last_time_s)

    def score(self, step: int, validation_loss: float) -> None:
        """Takes the validation loss of the state after `step`, before `due` is called for that step.

        Raises:
            RuntimeError: If the saved steps cannot be listed, or the record of the best step cannot be written.
        """
        if self._best is None:
            return
        try:
            self._best.score(step, validation_loss, retry_read(self.steps))
        except OSError as error:
            message = f"the best step could not be recorded in `{self._directory}`: {reason(error)}"
            raise RuntimeError(message) from error

    def steps(self) -> list[int]:
        """The committed steps, in ascending order."""
        return committed_steps(self._directory)

    def save(self, step: int, state: PyTree) -> None:
        """Begins to save the array leaves of `state`, which may be donated as soon as this returns.

        Waits for the save before it. If that failed, waits for this one too: if this one succeeds, only time was lost,
        and a warning is logged. A step that is saved already stays as it is.

        Raises:
            RuntimeError: If both the save before and this one failed.
        """
        failed = None
        try:
            self.wait()
        except RuntimeError as error:
            failed = error
        if step not in retry_read(self.steps):
            self._pending = self._writer.submit(self._write, step, copy_to_host(state), describe_leaves(state))
        self._mark_saved(step)
        if failed is not None:
            self.wait()
            _log.warning("%s; the state of step %d is saved", failed, step)

    def wait(self) -> None:
        """Returns when everything that was saved is committed.

        Raises:
            RuntimeError: If the last save failed; checkpoints before it are as they were.
        """
        if self._pending is None:
            return
        # Forgotten only once it has ended: after a Ctrl-C in between there is still something to wait for.
        futures.wait([self._pending])
        pending, self._pending = self._pending, None
        pending.result()

    def close(self) -> None:
        """Waits, and ends the background thread.

        Raises:
            RuntimeError: If the last save failed.
        """
        try:
            self.wait()
            if self._best is not None:
                # The last state is saved before it is validated; the best one before it has stayed until now.
                self._delete_superseded()
        finally:
            self._writer.shutdown()

    def restore(self, like: PyTree, step: int | None = None) -> tuple[int, PyTree] | None:
        """The newest valid checkpoint, or that of `step`.

        From the newest to the oldest, a corrupt checkpoint is renamed to `STEP.corrupt-N` with a warning, and the one
        before it is tried. One that cannot be read is left as it is, and none before it is tried: an error in reading
        may pass. A `step` that was named is used or refused.

        Args:
            like: A state of the same structure; its arrays are only looked at for their shapes and types.
            step: The step to restore; None for the newest that is valid.

        Returns:
            The step and the state, bit for bit as it was saved; None if there is no valid checkpoint.

        Raises:
            ValueError: If `step` was not saved, or a valid checkpoint is not of a state like `like`.
            RuntimeError: If `step` is corrupt.
            OSError: If a checkpoint cannot be read.
        """
        self.wait()
        if step is not None:
            state = restore_named_step(self._directory, step, like)
            self._mark_restored(step)
            return step, state
        for candidate in reversed(self.steps()):
            try:
                state = restore_step(self._directory, candidate, like)
            except CorruptCheckpointError as error:
                self._require_held()
                renamed = quarantine(self._directory, candidate)
                _log.warning("the checkpoint of step %d is corrupt (%s): renamed to `%s`", candidate, error, renamed)
                continue
            self._mark_restored(candidate)
            return candidate, state
        if self._best is not None:
            self._best.resume(-1)
        return None

    def _mark_restored(self, step: int) -> None:
        if self._best is not None:
            self._best.resume(step)
        self._mark_saved(step)

    def _mark_saved(self, step: int) -> None:
        self._last_step, self._last_time_s = step, time.monotonic()

    def _write(self, step: int, arrays: HostArrays, leaves: dict[str, Leaf]) -> None:
        """Runs in the background thread."""
        # Here, because a run's first step does not wait for Orbax.
        from ._orbax import one_line, save_arrays

        try:
            require_space(self._directory, sum(array.nbytes for array in arrays.values()))
            written = uncommitted(self._directory, step, self._holder)
            # Of an array without elements the shape, which the manifest has, is enough.
            save_arrays(written, arrays)
            write_manifest(written, leaves)
            commit(self._directory, step, self._holder, self._require_held)
            self._on_commit(step)
            # The new one is on disk, its name included.
            self._delete_superseded()
        except Exception as error:
            message = f"the checkpoint of step {step} could not be saved in `{self._directory}`: {one_line(error)}"
            # A folder that cannot be listed is not what is to be reported.
            with suppress(OSError):
                # What was written of it is of no use, and on a full disk it is in the way.
                delete_leftovers(self._directory, self._holder)
                message += f"; {steps_text(self.steps())}"
            # The lock that cannot be read is read again by a new start; what cannot be written is not.
            kind = UnreadableError if isinstance(error, UnreadableError) else RuntimeError
            raise kind(message) from error

    def _delete_superseded(self) -> None:
        """What cannot be deleted is left for the next time: the new checkpoint is saved, and the exit code says so."""
        try:
            steps = self.steps()
            best = set() if self._best is None else self._best.kept(steps)
            for superseded in self._retention_policy.superseded(steps):
                if superseded not in best:
                    self._require_held()
                    delete(self._directory, superseded, self._holder)
        except (OSError, UnreadableError) as error:
            why = reason(error) if isinstance(error, OSError) else str(error)
            _log.warning("older checkpoints in `%s` could not be deleted: %s", self._directory, why)
