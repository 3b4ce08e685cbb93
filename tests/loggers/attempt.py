"""One process's part of a run, for the tests of loggers that send metrics.jsonl elsewhere."""

import time

from simplexity.loggers import FileLogger, RunFacts


class Attempt:
    """Logs to metrics.jsonl and to `logger`; what is logged at a step is that step divided by `scale`."""

    def __init__(self, run_directory, logger, start_step, num_train_steps=100):
        self.loggers = (FileLogger(run_directory), logger)
        try:
            for each in self.loggers:
                each.start(RunFacts(num_train_steps, start_step, 64))
        except RuntimeError:
            self.close()
            raise

    def log(self, *steps, scale=8):
        for step in steps:
            line = {"loss": step / scale, "validation_loss_per_position": [0.5], "timestamp": time.time()}
            for logger in self.loggers:
                logger.progress(step)
                logger.log(step, line)
                logger.flush()
        return self

    def close(self):
        for logger in self.loggers:
            logger.close()
