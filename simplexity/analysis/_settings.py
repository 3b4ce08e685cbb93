"""The settings of a run's analyses, which check themselves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AnalysisSettings:
    """When a run's model is analysed, and on which words.

    Args:
        length: Tokens of the longest words.
        max_words: If the process has more words of that length, sequences are drawn that begin with at most so many.
        every: Steps between analyses during training; None for none. The last step is always analysed.
        also_without_bos: Whether the model is also analysed as it reads the words without BOS.

    Raises:
        ValueError: If a number is below 1.
    """

    length: int = 10
    max_words: int = 60_000
    every: int | None = None
    also_without_bos: bool = False

    def __post_init__(self):
        for name in ("length", "max_words", "every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}")

    def next_due_step(self, step: int, last_step: int) -> int | None:
        """The first step after `step` at which a run of `last_step` steps is analysed; None if there is none.

        The model before the first step is not due: it is the untrained model that every analysis compares with.
        """
        if step >= last_step:
            return None
        if self.every is None:
            return last_step
        return min(max(step, 0) // self.every * self.every + self.every, last_step)
