from collections.abc import Mapping

from ._logger import Logger, Metrics, RunFacts


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
