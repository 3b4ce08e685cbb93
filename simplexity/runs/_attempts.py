from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from ._events import Event, EventKind

MAX_RETRIES_WITHOUT_PROGRESS = 3


class Attempt(NamedTuple):
    """The events from one start of the run to the next."""

    events: tuple[Event, ...]

    @property
    def start_step(self) -> int:
        """The step that training began at: the restored one, or where the start meant to go on if it died before."""
        resumed = [event.step for event in self.events if event.kind == EventKind.RESUME]
        return resumed[-1] if resumed else self.events[0].step

    @property
    def saved_step(self) -> int:
        """The last step saved at the attempt's end: where the next one begins."""
        kinds = (EventKind.CHECKPOINT, EventKind.COMPLETE)
        return max([self.start_step, *(event.step for event in self.events if event.kind in kinds)])

    @property
    def reached_step(self) -> int:
        """The last step that its own events tell of, saved or not."""
        return max(
            [self.start_step, *(e.step for e in self.events if e.kind not in (EventKind.START, EventKind.RESUME))]
        )


class StartDecision(NamedTuple):
    """Whether a run may be started once more without asking anybody.

    Attributes:
        allowed: False if it would most likely end as the last starts did.
        starts_without_progress: How many starts in a row, up to now, saved nothing new.
        reason: One line on why not; empty if allowed.
    """

    allowed: bool
    starts_without_progress: int
    reason: str


def split_attempts(events: Sequence[Event]) -> list[Attempt]:
    """The events, grouped by the start that they follow."""
    starts = [i for i, event in enumerate(events) if i == 0 or event.kind == EventKind.START]
    return [Attempt(tuple(events[a:b])) for a, b in pairwise([*starts, len(events)])]


def next_start(events: Sequence[Event], max_retries: int = MAX_RETRIES_WITHOUT_PROGRESS) -> StartDecision:
    """Decides whether a run that was stopped may be started again by itself.

    Retries are unlimited while each start begins at a later step than the one before, and bounded when it does not.
    Starts, not checkpoints, are compared: a run whose checkpoints turn out to be unreadable each time stands still.
    Only starts since the last completion or failure count, for after one of those a person starts the run.

    Args:
        events: The ledger, up to now: before a start, or within an attempt that is about to leave.
        max_retries: Retries allowed at one step, beyond the first try.
    """
    final = (EventKind.COMPLETE, EventKind.FAILED)
    since = max((i + 1 for i, event in enumerate(events) if event.kind in final), default=0)
    attempts = split_attempts(events[since:])
    if not attempts:
        return StartDecision(True, 0, "")
    steps = [attempt.start_step for attempt in attempts]
    advances = [after > before for before, after in pairwise(steps)]
    stuck = next((i for i, advanced in enumerate(reversed(advances)) if advanced), len(advances))
    # Where the next start would begin. A step that was saved before, and not started from, is no progress again.
    saved = attempts[-1].saved_step
    if saved > max([steps[-1], *(attempt.saved_step for attempt in attempts[-1 - stuck : -1])]):
        return StartDecision(True, 0, "")
    stuck += 1
    if stuck <= max_retries:
        return StartDecision(True, stuck, "")
    causes = [attempt.events[-1].reason or f"ended after {attempt.events[-1].kind}" for attempt in attempts[-stuck:]]
    reason = f"{stuck} starts in a row saved nothing after step {steps[-1]} ({', '.join(dict.fromkeys(causes))})"
    return StartDecision(False, stuck, reason)
