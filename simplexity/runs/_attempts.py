"""A ledger's events as attempts, and whether a run that was stopped is started once more."""

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
        """The step that training began at: the restored one, 0 without one, or the start's if it died before."""
        resumed = [event.step for event in self.events if event.kind == EventKind.RESUME]
        if resumed:
            return resumed[-1]
        return 0 if any(event.kind == EventKind.FIRST_STEP for event in self.events) else self.events[0].step

    @property
    def has_computed(self) -> bool:
        """Whether the attempt is known to have trained a step."""
        return any(event.kind in (EventKind.FIRST_STEP, EventKind.CHECKPOINT) for event in self.events)

    @property
    def saved_step(self) -> int:
        """The last step saved at the attempt's end: where the next one begins."""
        kinds = (EventKind.CHECKPOINT, EventKind.COMPLETE)
        return max([self.start_step, *(event.step for event in self.events if event.kind in kinds)])

    @property
    def was_preempted(self) -> bool:
        """Whether it stopped orderly because its machine was wanted, and not because its time limit was over."""
        last = self.events[-1]
        return last.kind == EventKind.PREEMPTED and last.time_limit_s is None

    @property
    def reached_step(self) -> int:
        """The last step in its own events, saved or not."""
        return max(
            [self.start_step, *(e.step for e in self.events if e.kind not in (EventKind.START, EventKind.RESUME))]
        )


class StartDecision(NamedTuple):
    """Whether a run may be started once more automatically.

    Attributes:
        allowed: False if it would most likely end as the last starts did.
        starts_without_progress: How many starts in a row, up to now, saved nothing new; preempted ones do not count.
        reason: One line on why not; empty if allowed.
    """

    allowed: bool
    starts_without_progress: int
    reason: str


def split_attempts(events: Sequence[Event]) -> list[Attempt]:
    """The events, grouped by the start that they follow."""
    starts = [i for i, event in enumerate(events) if i == 0 or event.kind == EventKind.START]
    return [Attempt(tuple(events[a:b])) for a, b in pairwise([*starts, len(events)])]


def known_reached_step(attempt: Attempt, later: Sequence[Attempt]) -> int:
    """The last step of an attempt, also by what the next resume found in the metrics of one that was killed.

    Args:
        attempt: The attempt.
        later: Those after it, in order.
    """
    if not attempt.has_computed:
        return attempt.reached_step
    resumes = (event for other in later for event in other.events if event.kind == EventKind.RESUME)
    return max(attempt.reached_step, next((event.reached_step or 0 for event in resumes), 0))


def next_start(
    events: Sequence[Event], submission: str | None = None, max_retries: int = MAX_RETRIES_WITHOUT_PROGRESS
) -> StartDecision:
    """Decides whether a run that was stopped may be started again by itself.

    Retries are unlimited while each start begins at a later step than the one before, and bounded when it does not.
    Starts, not checkpoints, are compared: a run whose checkpoints turn out to be unreadable each time stands still.
    An orderly stop by preemption is the cluster's act and never counts; a crash, a kill and a time limit do. Only
    starts of the same submission since the last completion or failure count, for after one of those, and with another
    submission, a person starts the run.

    Args:
        events: The ledger before a start.
        submission: What the start belongs to, see `Job`; None if no batch script or sweep starts it.
        max_retries: Retries allowed at one step, beyond the first try.
    """
    ends = [i + 1 for i, event in enumerate(events) if _is_final(event)]
    attempts = split_attempts(events[max(ends, default=0) :])
    others = [i + 1 for i, attempt in enumerate(attempts) if attempt.events[0].submission != submission]
    attempts = attempts[max(others, default=0) :]
    if not attempts:
        return StartDecision(True, 0, "")
    steps = [attempt.start_step for attempt in attempts]
    advances = [after > before for before, after in pairwise(steps)]
    stuck = next((i for i, advanced in enumerate(reversed(advances)) if advanced), len(advances))
    # Where the next start would begin. A step that was saved before, and not started from, is no progress again.
    saved = attempts[-1].saved_step
    if saved > max([steps[-1], *(attempt.saved_step for attempt in attempts[-1 - stuck : -1])]):
        return StartDecision(True, 0, "")
    in_vain = [attempt for attempt in attempts[-1 - stuck :] if not attempt.was_preempted]
    if len(in_vain) <= max_retries:
        return StartDecision(True, len(in_vain), "")
    reason = f"{len(in_vain)} starts in a row saved nothing after step {steps[-1]} ({_causes(in_vain, events)})"
    return StartDecision(False, len(in_vain), reason)


def _is_final(event: Event) -> bool:
    return event.kind == EventKind.COMPLETE or (event.kind == EventKind.FAILED and not event.comes_back)


def _causes(in_vain: Sequence[Attempt], events: Sequence[Event]) -> str:
    """Why attempts have saved nothing."""
    causes = [_cause(attempt) for attempt in in_vain]
    too_short = [a.events[-1] for a in in_vain if a.events[-1].kind == EventKind.PREEMPTED]
    if too_short:
        # Of any attempt that took a step, whenever that was.
        first_steps = [event.elapsed_s for event in events if event.kind == EventKind.FIRST_STEP]
        start_s = max(first_steps) if first_steps else max(event.elapsed_s for event in too_short)
        causes.append(
            f"a start takes {'' if first_steps else 'more than '}{start_s:.0f} s, and the time limit is "
            f"{too_short[-1].time_limit_s} s: set a longer `cluster.time_limit_minutes`"
        )
    return ", ".join(dict.fromkeys(causes))


def _cause(attempt: Attempt) -> str:
    first, last = attempt.events[0], attempt.events[-1]
    if last.kind == EventKind.PREEMPTED:
        return "stopped by the time limit"
    limit = f" of a job with a time limit of {first.time_limit_s} s" if first.time_limit_s is not None else ""
    return last.reason or f"ended unexpectedly after {last.kind}{limit}"
