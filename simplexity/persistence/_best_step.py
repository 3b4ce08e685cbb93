"""Which checkpoints stay because of their validation loss."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from simplexity.runs import ScoredStep, read_scores, retry_read, write_scores


class BestStep:
    """The steps with the lowest validation loss so far, of which the last that is saved is the best.

    A step is recorded before its checkpoint is committed, and not after: a run that resumes at that checkpoint does not
    validate its state again. Until it is committed, the best before it stays too.

    Args:
        path: The record. It is read by `open`, once this process holds the run's lock.
        require_held: As in `write_durably`.
    """

    def __init__(self, path: Path, require_held: Callable[[], object]):
        self._path = path
        self._require_held = require_held
        self._scores: list[ScoredStep] = []

    def open(self) -> None:
        """Reads the record.

        Raises:
            RuntimeError: If it is not one.
        """
        self._scores = retry_read(lambda: read_scores(self._path))

    def score(self, step: int, validation_loss: float, committed: Sequence[int]) -> None:
        """Records the step if its loss is the lowest so far; of equal ones the first counts.

        Args:
            step: The step. What was recorded of it, or later ones, before the run was resumed counts no more.
            validation_loss: Of the state after it.
            committed: The saved steps.
        """
        scores = [one for one in self._scores if one.step < step]
        if math.isfinite(validation_loss) and all(validation_loss < one.validation_loss for one in scores):
            kept = self.kept(committed)
            scores = [*(one for one in scores if one.step in kept), ScoredStep(step, validation_loss)]
        self._replace(scores)

    def resume(self, step: int) -> None:
        """Forgets the steps after the one that the run resumes from, at -1 all: they will be validated again."""
        self._replace([one for one in self._scores if one.step <= step])

    def is_at(self, step: int) -> bool:
        """Whether the last validation with a lower loss than all before was at `step`."""
        return bool(self._scores) and self._scores[-1].step == step

    def kept(self, committed: Sequence[int]) -> set[int]:
        """The best saved step, and those after it that are still to be saved."""
        steps = [one.step for one in self._scores]
        best = max((index for index, step in enumerate(steps) if step in committed), default=0)
        return set(steps[best:])

    def _replace(self, scores: list[ScoredStep]) -> None:
        if scores != self._scores:
            write_scores(self._path, scores, self._require_held)
            # The thread that writes checkpoints reads the list: it gets a new one, whole.
            self._scores = scores
