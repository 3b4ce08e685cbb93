"""Tells the ledger when an attempt's first new step is done."""

from simplexity.loggers import Logger, Metrics, RunFacts
from simplexity.runs import EventKind, Ledger


class LedgerLogger(Logger):
    """Records the first progress of an attempt, and nothing else.

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
        """Does nothing: the ledger is always durable."""

    def close(self) -> None:
        """Does nothing."""
