"""One line of the ledger: what can happen to a run, and what is recorded of it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from ._job import SlurmIds, slurm_ids_from_json
from ._phases import PhaseSeconds


class EventKind(StrEnum):
    """What can happen to a run."""

    START = "start"
    """A process begins an attempt, before anything is restored; its step is the last one known to be saved."""
    RESUME = "resume"
    """The state was restored; its step is the restored one, lower than the start's if a checkpoint was unreadable."""
    FIRST_STEP = "first_step"
    """The first new step of the attempt is done: compilation is over."""
    CHECKPOINT = "checkpoint"
    """A checkpoint is committed."""
    PREEMPTED = "preempted"
    """The process exits because a stop was requested; everything is saved."""
    COMPLETE = "complete"
    FAILED = "failed"
    """The run ended with an error; only a person starts it again, unless the event says that it `comes_back`."""


class Event(NamedTuple):
    """One line of the ledger.

    Attributes:
        sequence: 0, 1, 2...: the order of events, which `time` is not, because clocks are set back and differ.
        kind: What happened.
        step: Training step it happened at.
        time: Unix time, by this host's clock.
        elapsed_s: Seconds since the writing process opened the ledger, by its monotonic clock.
        host: Host name.
        pid: Process id on that host.
        slurm: The SLURM job's ids; None outside SLURM.
        seconds: What this attempt has spent in each phase so far. Cumulative, so that the numbers of a killed attempt
            are those of its last event.
        reason: Why, in words ("SIGUSR2", an error's message).
        reached_step: Of a resume: the step that the attempt before is known to have reached, saved or not.
        previous_alive: Of a start: unix time of the last sign of life of an attempt that ended unexpectedly.
        stopping_s: Of a preemption: seconds from the signal until everything was saved.
        submission: Of a start: names the submission that it belongs to, see `Job`.
        time_limit_s: Of a start: its job's time limit. Of a preemption: the same, if it was the time limit's.
        comes_back: Of a failure: true if whoever started the process starts it once more by itself.
    """

    sequence: int
    kind: EventKind
    step: int
    time: float
    elapsed_s: float
    host: str
    pid: int
    slurm: SlurmIds | None
    seconds: PhaseSeconds
    reason: str | None = None
    reached_step: int | None = None
    previous_alive: float | None = None
    stopping_s: float | None = None
    submission: str | None = None
    time_limit_s: int | None = None
    comes_back: bool | None = None

    @property
    def node(self) -> str:
        """The machine that it happened on, by SLURM's name for it if there is one."""
        return (self.slurm.node if self.slurm is not None else None) or self.host

    def to_json(self) -> dict[str, Any]:
        """The ledger's line: what is None is left out."""
        record = self._asdict() | {"seconds": self.seconds._asdict()}
        record["slurm"] = None if self.slurm is None else self.slurm._asdict()
        return {name: value for name, value in record.items() if value is not None}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Event":
        """The event of a ledger's line.

        Raises:
            ValueError: If the kind or a field is unknown.
        """
        try:
            read = {
                "kind": EventKind(record.get("kind")),
                "slurm": slurm_ids_from_json(record.get("slurm")),
                "seconds": PhaseSeconds(**record.get("seconds", {})),
            }
            return cls(**{**record, **read})
        except TypeError as error:
            raise ValueError(str(error)) from None
