"""Which checkpoints stay."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Retention:
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
