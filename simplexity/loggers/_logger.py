"""What every logger does, what it is given about its run, and several loggers as one."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Metrics: TypeAlias = Mapping[str, float | list[float]]
"""A logged line: numbers, and lists with one number per position of a sequence."""


@dataclass(frozen=True)
class RunFacts:
    """What a logger cannot know from metrics.

    Args:
        num_train_steps: The last step.
        start_step: The step that this process begins at: 0, or that of the checkpoint that it resumes from.
        tokens_per_step: Predictions per step.
    """

    num_train_steps: int
    start_step: int
    tokens_per_step: int


class Logger(ABC):
    """Shows or keeps a run's metrics: `start` once, then the others as training goes, `close` whatever happened.

    After a resume, whatever was logged past `start_step` is logged again, and so may be the line of `start_step`
    itself: a logger keeps each step once.
    """

    @abstractmethod
    def start(self, facts: RunFacts) -> None:
        """Prepares for lines after `facts.start_step`.

        Raises:
            RuntimeError: If there is nowhere to log to.
        """

    @abstractmethod
    def log(self, step: int, metrics: Metrics) -> None:
        """Takes the metrics of one step, in order of steps."""

    @abstractmethod
    def progress(self, step: int) -> None:
        """Takes note that `step` steps are done; called about twice a second."""

    @abstractmethod
    def flush(self) -> None:
        """Makes durable what was logged; called before a checkpoint of the same step is saved."""

    @abstractmethod
    def close(self) -> None:
        """Ends logging; may be called twice, and before `start`."""


class CompositeLogger(Logger):
    """Several loggers at once.

    Args:
        loggers: By a name of your choice, so that a command line can reach into one of them:
            `logging.instance.loggers.console.seconds_between_lines=60`.
    """

    def __init__(self, loggers: Mapping[str, Logger]) -> None:
        self._loggers = tuple(loggers.values())

    def start(self, facts: RunFacts) -> None:
        for logger in self._loggers:
            logger.start(facts)

    def log(self, step: int, metrics: Metrics) -> None:
        for logger in self._loggers:
            logger.log(step, metrics)

    def progress(self, step: int) -> None:
        for logger in self._loggers:
            logger.progress(step)

    def flush(self) -> None:
        for logger in self._loggers:
            logger.flush()

    def close(self) -> None:
        """Closes all of them, also after one of them failed to.

        Raises:
            RuntimeError: What the first that failed raised.
        """
        errors = []
        for logger in self._loggers:
            try:
                logger.close()
            except RuntimeError as error:
                errors.append(error)
        if errors:
            raise errors[0]
