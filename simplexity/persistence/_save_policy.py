"""When a checkpoint is due, and which checkpoints stay."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SavePolicy:
    """By number of steps, by minutes, by both, or (both None) only when a run ends or a stop is requested.

    Args:
        save_every_steps: A checkpoint at each multiple of this many steps; None for none by steps.
        save_every_minutes: A checkpoint when the last one is this old; None for none by time.

    Raises:
        ValueError: If either is not positive.
    """

    save_every_steps: int | None
    save_every_minutes: float | None

    def __post_init__(self) -> None:
        if self.save_every_steps is not None and self.save_every_steps < 1:
            raise ValueError(
                f"`save_every_steps` must be at least 1, or null for none by steps, got {self.save_every_steps}"
            )
        minutes = self.save_every_minutes
        if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
            raise ValueError(f"`save_every_minutes` must be positive, or null for none by time, got {minutes}")

    def next_due_step(self, step: int) -> int | None:
        """The first step after `step` that is due by number of steps; None if there is none."""
        if self.save_every_steps is None:
            return None
        return (step // self.save_every_steps + 1) * self.save_every_steps

    def due(self, step: int, last_saved_step: int, seconds_since_save: float) -> bool:
        """Whether to save at `step`.

        Steps are counted from the last saved one and not only looked at: a chunk of steps that passes over a
        multiple of `save_every_steps` does not miss it.
        """
        if step <= last_saved_step:
            return False
        next_step = self.next_due_step(last_saved_step)
        by_steps = next_step is not None and step >= next_step
        by_time = self.save_every_minutes is not None and seconds_since_save >= 60.0 * self.save_every_minutes
        return by_steps or by_time


@dataclass(frozen=True)
class RetentionPolicy:
    """The newest few, and for good one per `keep_every_steps` steps.

    Args:
        max_to_keep: How many of the newest checkpoints stay.
        keep_every_steps: The first checkpoint at or past each multiple of this many steps stays for good. Being past it
            counts, because checkpoints by minutes and at preemptions hardly ever hit a multiple. None keeps no others.

    Raises:
        ValueError: If `max_to_keep` is below 2 or `keep_every_steps` is not positive.
    """

    max_to_keep: int
    keep_every_steps: int | None

    def __post_init__(self) -> None:
        if self.max_to_keep < 2:
            raise ValueError(
                f"`max_to_keep` must be at least 2, got {self.max_to_keep}: "
                "with a single checkpoint nothing is left to fall back on if it is corrupt"
            )
        if self.keep_every_steps is not None and self.keep_every_steps < 1:
            raise ValueError(
                f"`keep_every_steps` must be at least 1, or null to keep only the newest, got {self.keep_every_steps}"
            )

    def superseded(self, steps: Sequence[int]) -> list[int]:
        """The steps whose checkpoints may go, oldest first.

        A step that is kept for good stays so as later ones come and go: it is the smallest of its interval.
        """
        ordered = sorted(steps)
        kept = set(ordered[-self.max_to_keep :])
        if self.keep_every_steps is not None:
            first_of_interval: dict[int, int] = {}
            for step in ordered:
                first_of_interval.setdefault(step // self.keep_every_steps, step)
            # Interval 0 is before the first multiple.
            kept.update(step for interval, step in first_of_interval.items() if interval > 0)
        return [step for step in ordered if step not in kept]
