"""The ledger of a run (run.jsonl): writing it as the holder of the lock, and reading it without the lock."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ._events import Event, EventKind
from ._job import slurm_ids
from ._json_lines import append_json_line, read_json_lines, renew_json_lines
from ._phases import PhaseClock, PhaseSeconds
from ._reading import retry_read, sleep


class Ledger:
    """The record of everything that happened to a run, written by the process that holds the run's lock.

    Every event is one line, on disk before `append` returns, so a kill loses at most the event that was being written.
    To read a ledger without writing it, use `read_ledger`.

    Args:
        path: The ledger's file; made at the first event. A torn last line is cut off.
        require_held: The lock's (`RunLock.require_held`): called before each line is written, to raise if another
            process has taken over the run.
        wait: As in `retry_read`, by which the ledger is read.

    Raises:
        OSError: If it cannot be written.
        UnreadableError: If it cannot be read.

    Attributes:
        phases: The attempt's clock; every event carries what it has charged so far.
    """

    def __init__(
        self,
        path: Path,
        require_held: Callable[[], object] = lambda: None,
        wait: Callable[[float], bool] = sleep,
    ):
        renew_json_lines(path, require_held=require_held, wait=wait)
        self.phases = PhaseClock()
        self._path = path
        self._require_held = require_held
        self._events = retry_read(lambda: read_ledger(path), wait)
        self._opened = time.monotonic()
        # Checkpoints are committed, and recorded, by a thread of their own.
        self._lock = threading.Lock()

    @property
    def events(self) -> tuple[Event, ...]:
        """All events so far, of earlier attempts and of this one."""
        return tuple(self._events)

    @property
    def saved_step(self) -> int:
        """The step of the last checkpoint; 0 if there is none."""
        saved = [event.step for event in self._events if event.kind == EventKind.CHECKPOINT]
        return saved[-1] if saved else 0

    def append(
        self,
        kind: EventKind,
        step: int,
        *,
        reason: str | None = None,
        reached_step: int | None = None,
        previous_alive: float | None = None,
        stopping_s: float | None = None,
        submission: str | None = None,
        time_limit_s: int | None = None,
        comes_back: bool | None = None,
    ) -> Event:
        """Records an event; see `Event` for the arguments.

        Raises:
            OSError: If the line cannot be written whole; then the ledger is as it was.
            RuntimeError: If another process has taken over the run.
        """
        with self._lock:
            # Before the elapsed time is taken, which thus is never less than the phases' sum.
            spent = PhaseSeconds(*(round(seconds, 4) for seconds in self.phases.seconds()))
            event = Event(
                sequence=self._events[-1].sequence + 1 if self._events else 0,
                kind=kind,
                step=step,
                time=round(time.time(), 3),
                elapsed_s=round(time.monotonic() - self._opened, 4),
                host=os.uname().nodename,
                pid=os.getpid(),
                slurm=slurm_ids(),
                seconds=spent,
                reason=reason,
                reached_step=reached_step,
                previous_alive=previous_alive,
                stopping_s=stopping_s,
                submission=submission,
                time_limit_s=time_limit_s,
                comes_back=comes_back,
            )
            append_json_line(self._path, event.to_json(), self._require_held)
            self._events.append(event)
            return event


def read_ledger(path: Path) -> list[Event]:
    """The events in their order; none if there is no ledger yet. Changes nothing: it may be read while a run writes it.

    Raises:
        RuntimeError: If an event cannot be read.
    """
    try:
        events = [Event.from_json(record) for record in read_json_lines(path)]
    except ValueError as error:
        raise RuntimeError(f"the ledger {path} was written by another version of simplexity: {error}") from None
    return sorted(events, key=lambda event: event.sequence)
