"""What the ledger wants to know of training."""

from simplexity.loggers import Logger, Metrics, RunFacts
from simplexity.runs import EventKind, Ledger


class AttemptLogger(Logger):
    """Records an attempt's first new step.

    Args:
        ledger: The run's ledger.
    """

    def __init__(self, ledger: Ledger):
        self._ledger = ledger
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
        """Does nothing: each event is on disk at once."""

    def close(self) -> None:
        """Does nothing."""
