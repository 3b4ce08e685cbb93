"""When a checkpoint is due."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class SaveCadence:
    """By number of steps, by minutes, by both, or (both None) only when a run ends or is asked to leave.

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
