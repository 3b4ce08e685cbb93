"""A clock that measures what an attempt spends its time on: computing, compiling, saving, restoring."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

Phase = Literal["computing", "compiling", "saving", "restoring"]


class PhaseSeconds(NamedTuple):
    """Seconds that one attempt has spent in each phase so far."""

    computing: float = 0.0
    compiling: float = 0.0
    saving: float = 0.0
    restoring: float = 0.0


class PhaseClock:
    """Charges every second to one phase: within a phase, an inner one stops the outer one's clock.

    Hence the whole training may be measured as "computing", and the saves in it as "saving". One thread measures; any
    thread may read. The clock is monotonic, so a wall clock that is set back changes nothing.
    """

    def __init__(self):
        self._charged = dict.fromkeys(PhaseSeconds._fields, 0.0)
        self._phase: Phase | None = None
        self._since = time.monotonic()
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, phase: Phase) -> Iterator[None]:
        """Charges the time spent in the `with` block to `phase`."""
        outer = self._enter(phase)
        try:
            yield
        finally:
            self._enter(outer)

    def seconds(self) -> PhaseSeconds:
        """All that was charged, the current phase included."""
        with self._lock:
            self._charge()
            return PhaseSeconds(**self._charged)

    def _enter(self, phase: Phase | None) -> Phase | None:
        with self._lock:
            self._charge()
            outer, self._phase = self._phase, phase
            return outer

    def _charge(self) -> None:
        now = time.monotonic()
        if self._phase is not None:
            self._charged[self._phase] += now - self._since
        self._since = now
