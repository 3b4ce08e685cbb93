"""What the run directory itself wants to know of training."""

from simplexity.loggers import Logger, Metrics, RunFacts
from simplexity.runs import EventKind, Ledger, RunLock


class AttemptLogger(Logger):
    """Records an attempt's first new step, and stops an attempt that no longer holds its run directory.

    Args:
        ledger: The run's ledger.
        lock: The run directory's lock, which another process may take over while this one is frozen.
    """

    def __init__(self, ledger: Ledger, lock: RunLock):
        self._ledger = ledger
        self._lock = lock
        self._recorded = False

    def start(self, facts: RunFacts) -> None:
        """Does nothing."""

    def log(self, step: int, metrics: Metrics) -> None:
        """Does nothing: metrics are for other loggers."""

    def progress(self, step: int) -> None:
        if not self._recorded:
            self._ledger.append(EventKind.FIRST_STEP, step)
            self._recorded = True

    def flush(self) -> None:
        """Called before a checkpoint is saved.

        Raises:
            RuntimeError: If the lock was lost: nothing more may be written.
        """
        if not self._lock.still_held():
            raise RuntimeError("another process took over this run directory while this one was frozen; it stops here")

    def close(self) -> None:
        """Does nothing."""
