"""A ledger summed up: how far a run is, and where its time went."""

from collections.abc import Sequence
from typing import NamedTuple

from ._attempts import Attempt, known_reached_step, split_attempts
from ._events import Event


class Goodput(NamedTuple):
    """Where a run's time went, from its first event to its last; the seconds add up to all of it.

    Attributes:
        computing_s: Training steps that were kept.
        compiling_s: Compiling programs.
        saving_s: Waiting for checkpoints; what is written while training continues costs nothing here.
        restoring_s: Reading checkpoints.
        other_s: Within attempts, none of these: building, validating, loading.
        lost_s: Work that was done again: steps after the last checkpoint, and the end of an attempt that was killed.
        waiting_s: Between attempts.
        steps_lost: Training steps that were computed and had to be computed again.
    """

    computing_s: float = 0.0
    compiling_s: float = 0.0
    saving_s: float = 0.0
    restoring_s: float = 0.0
    other_s: float = 0.0
    lost_s: float = 0.0
    waiting_s: float = 0.0
    steps_lost: int = 0

    @property
    def total_s(self) -> float:
        """All seconds together."""
        return sum(self[:-1])

    @property
    def fraction(self) -> float:
        """Share of the time that went into training steps that were kept; 0 before anything happened."""
        return self.computing_s / self.total_s if self.total_s > 0 else 0.0


class RunSummary(NamedTuple):
    """The summary of a run's ledger.

    Attributes:
        attempts: How often it was started.
        last_step: Step of the last event.
        saved_step: The last step that was saved.
        last_event: None if the run never started.
        goodput: Where the time went.
        submission: What the last start belongs to, see `Job`; None if no batch script or sweep made it.
    """

    attempts: int
    last_step: int
    saved_step: int
    last_event: Event | None
    goodput: Goodput
    submission: str | None = None


def summarize(events: Sequence[Event]) -> RunSummary:
    """Sums up a ledger; of an attempt that is running, what it has recorded so far."""
    attempts = split_attempts(events)
    if not attempts:
        return RunSummary(0, 0, 0, None, Goodput())
    parts = [_account(attempt, attempts[i + 1 :]) for i, attempt in enumerate(attempts)]
    goodput = Goodput(*(sum(column) for column in zip(*parts, strict=True)))
    submission = attempts[-1].events[0].submission
    return RunSummary(len(attempts), events[-1].step, attempts[-1].saved_step, events[-1], goodput, submission)


def _account(attempt: Attempt, later: Sequence[Attempt]) -> Goodput:
    """One attempt's share, with the time up to the next one."""
    recorded = attempt.reached_step
    # A checkpoint that turns out to be unreadable throws away more than the last attempt's work.
    kept = max(attempt.start_step, min([recorded, *(a.start_step for a in later)]))
    steps_lost = known_reached_step(attempt, later) - kept

    # Not always the last line: the batch script and a start that was refused write in processes of their own.
    last = max(attempt.events, key=lambda event: event.elapsed_s)
    spent = last.seconds
    done = recorded - attempt.start_step
    redone_s = spent.computing * (recorded - kept) / done if done > 0 else 0.0
    other_s = max(0.0, last.elapsed_s - sum(spent))

    unrecorded_s = waiting_s = 0.0
    if later:
        start = later[0].events[0]
        # The one place where two hosts' clocks are compared; they may disagree, or have been set back.
        gap_s = max(0.0, start.time - last.time)
        if start.previous_alive is not None:
            unrecorded_s = min(gap_s, max(0.0, start.previous_alive - last.time))
        waiting_s = gap_s - unrecorded_s
    return Goodput(
        computing_s=spent.computing - redone_s,
        compiling_s=spent.compiling,
        saving_s=spent.saving,
        restoring_s=spent.restoring,
        other_s=other_s,
        lost_s=redone_s + unrecorded_s,
        waiting_s=waiting_s,
        steps_lost=steps_lost,
    )
