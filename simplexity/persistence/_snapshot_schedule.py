"""The steps after which a run keeps its weights for good."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SnapshotSchedule:
    """Chosen steps: those of a list, multiples of a number, evenly spaced ones in logarithm, or all of them together.

    They do not depend on the length of the run: an extended run continues with the same schedule.

    Args:
        every: The multiples of this many steps, 0 included; None for none.
        steps: These steps; those past the end of the run are left out.
        per_decade: This many for each tenfold number of steps, `round(10 ** (k / per_decade))` for k = 0, 1, ...,
            and step 0; None for none.

    Raises:
        ValueError: If a number is out of its range.
    """

    every: int | None = None
    steps: Sequence[int] = ()
    per_decade: int | None = None

    def __post_init__(self) -> None:
        for name in ("every", "per_decade"):
            number = getattr(self, name)
            if number is not None and number < 1:
                raise ValueError(f"`{name}` must be at least 1, or null for none, got {number}")
        negative = [step for step in self.steps if step < 0]
        if negative:
            raise ValueError(f"`steps` must not be below 0, got {negative[0]}")

    @property
    def is_empty(self) -> bool:
        """Whether no step is chosen."""
        return self.every is None and self.per_decade is None and len(self.steps) == 0

    def next_due_step(self, step: int) -> int | None:
        """The first chosen step after `step`, which may be -1; None if there is none."""
        candidates = [chosen for chosen in self.steps if chosen > step]
        if self.every is not None:
            candidates.append((step // self.every + 1) * self.every)
        if self.per_decade is not None:
            candidates.append(_next_in_logarithm(step, self.per_decade))
        return min(candidates, default=None)


def _next_in_logarithm(step: int, per_decade: int) -> int:
    if step < 1:
        return step + 1
    # One earlier than the logarithm says, which may be rounded up.
    exponent = max(0, math.floor(per_decade * math.log10(step)) - 1)
    while (found := round(10 ** (exponent / per_decade))) <= step:
        exponent += 1
    return found
