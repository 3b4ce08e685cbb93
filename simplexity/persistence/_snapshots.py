"""Snapshots: the weights after chosen steps, one file each, which a run keeps for good."""

import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from jaxtyping import PyTree

from simplexity.runs import reason, sync_directory

from ._leaves import copy_to_host
from ._snapshot_schedule import SnapshotSchedule
from ._weights_file import write_weights

_log = logging.getLogger(__name__)
_FILE = re.compile(r"(\d+)\.safetensors")
# A hiccup of a network file system passes in seconds.
_PAUSE_S = 1.0
# Training waits for the disk while more bytes than this are still to be written.
_MOST_WAITING_BYTES = 64 * 2**20


class _Pending(NamedTuple):
    """A snapshot that is being written, and how to write it once more."""

    step: int
    num_bytes: int
    write: Callable[[], None]
    written: Future[None]


class SnapshotWriter:
    """Writes the weights after chosen steps, as an observer of training (`simplexity.training.StepObserver`).

    `observe` copies the weights to the host and returns; a background thread writes one snapshot after the other.
    `flush`, which training calls before it saves a checkpoint, waits until all are written. So a run that is resumed
    has all snapshots up to its checkpoint, and computes those after it anew, with the same bytes.

    A write that fails is repeated once. If it fails again the run ends, and when it is resumed it comes by that step
    once more: no snapshot is left out silently.

    Args:
        directory: Where the snapshots lie.
        schedule: The chosen steps; the last one is added.
        num_train_steps: The last one.
        model_config: What the model is built from, for the files' metadata.
        require_held: The run's lock (`RunLock.require_held`): called before a file takes its name.
    """

    def __init__(
        self,
        directory: Path,
        schedule: SnapshotSchedule,
        num_train_steps: int,
        model_config: object,
        require_held: Callable[[], object] = lambda: None,
    ) -> None:
        self._directory = Path(directory)
        self._schedule = schedule
        self._last_step = num_train_steps
        self._model_config = model_config
        self._require_held = require_held
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot")
        self._pending: deque[_Pending] = deque()
        # The newest snapshot whose name may not be on disk yet.
        self._step_to_sync: int | None = None

    def open(self) -> None:
        """Makes the directory, if need be, and deletes what a killed process had begun to write.

        Raises:
            RuntimeError: If it cannot be created or written.
        """
        try:
            self._directory.mkdir(exist_ok=True)
            # A former holder of the run that was frozen while it wrote finds nothing to give its name to.
            for temporary in self._directory.glob(".*.tmp"):
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise RuntimeError(f"snapshot directory `{self._directory}` cannot be written: {reason(error)}") from error
        # os.access knows of file systems mounted read-only, for root as well.
        if not os.access(self._directory, os.W_OK | os.X_OK):
            raise RuntimeError(f"snapshot directory `{self._directory}` cannot be written: make it writable")

    def next_due_step(self, step: int) -> int | None:
        """The first step after `step` at which a snapshot is due; None after the last step."""
        due = self._schedule.next_due_step(step)
        if due is not None and due <= self._last_step:
            return due
        return self._last_step if step < self._last_step else None

    def observe(self, step: int, model: PyTree, interrupted: Callable[[], bool]) -> bool:
        """Begins to write the weights; waits only while too many bytes are still to be written.

        Returns:
            True: it takes too short a time to be interrupted.

        Raises:
            RuntimeError: If a snapshot before it could not be written.
        """
        arrays = copy_to_host(model)
        num_bytes, path = sum(array.nbytes for array in arrays.values()), snapshot_path(self._directory, step)
        self._wait(_MOST_WAITING_BYTES - num_bytes)

        def write() -> None:
            # `flush` puts the names of all on disk at once.
            write_weights(path, arrays, step, self._model_config, require_held=self._require_held, syncs_name=False)

        self._pending.append(_Pending(step, num_bytes, write, self._thread.submit(write)))
        self._step_to_sync = step
        return True

    def flush(self) -> None:
        """Returns once all snapshots are on disk.

        Raises:
            RuntimeError: If one could not be written, in two attempts.
        """
        self._wait(-1)
        if self._step_to_sync is not None:
            self._in_two_attempts(self._step_to_sync, lambda: sync_directory(self._directory))
            self._step_to_sync = None

    def _wait(self, most_bytes: int) -> None:
        """Takes note of the snapshots that are written, and waits for the oldest while more bytes than these wait."""
        while self._pending:
            oldest, num_bytes = self._pending[0], sum(pending.num_bytes for pending in self._pending)
            if num_bytes <= most_bytes and not oldest.written.done():
                return
            self._in_two_attempts(oldest.step, oldest.written.result, oldest.write)
            # Only now: one that could not be written is tried once more by the next call.
            self._pending.popleft()

    def _in_two_attempts(
        self, step: int, attempt: Callable[[], object], again: Callable[[], object] | None = None
    ) -> None:
        try:
            try:
                attempt()
            except OSError as error:
                _log.warning("%s; trying again", self._not_written(step, error))
                time.sleep(_PAUSE_S)
                (again or attempt)()
        except OSError as error:
            raise RuntimeError(self._not_written(step, error)) from error

    def _not_written(self, step: int, error: OSError) -> str:
        return f"the snapshot of step {step} could not be written in `{self._directory}`: {reason(error)}"


def snapshot_steps(directory: Path) -> list[int]:
    """The steps that have a snapshot, in ascending order; none where there is no directory.

    Raises:
        OSError: If the directory cannot be read.
    """
    with suppress(FileNotFoundError):
        return sorted(int(found[1]) for name in os.listdir(directory) if (found := _FILE.fullmatch(name)))
    return []


def snapshot_path(directory: Path, step: int) -> Path:
    """The file of a step.

    Args:
        directory: The run's `snapshots_path`.
        step: Number of training steps before it.
    """
    return directory / f"{step}.safetensors"
