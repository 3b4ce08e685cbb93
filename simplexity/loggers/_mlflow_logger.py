"""Metrics to MLflow, by a thread of its own: training never waits for a server."""

import os
from collections.abc import Callable
from pathlib import Path

from ._logger import RunFacts
from ._mlflow_run import MLflowRun, default_store, id_path
from ._sending_logger import Sender, SendingLogger, require_package

_DEFAULTS = {
    # Importing MLflow would report the user's environment to its makers.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # It logs every table that it creates.
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # By default it tries for minutes, and prints a line each time. Here a later batch is the next try.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MLflowLogger(SendingLogger):
    """Sends the lines of the run's metrics.jsonl to MLflow, with the config as parameters, and the figures at the end.

    Every number of a line is sent; lists, such as losses per position, are left to metrics.jsonl. That file is what
    is sent from: a `FileLogger` has to stand before this logger. A resumed run continues the same MLflow run, whose
    id is kept in the run directory, and sends what that one lacks.

    A thread of its own sends, so that training does not wait. A fresh run is refused if the store cannot be used. After
    that no fault of the store stops a run: there is one warning, and what could not be sent is tried again, also when
    the run is resumed. Closing waits a few seconds at most.

    Args:
        run_directory: The run's directory; supplied by the program.
        experiment_name: MLflow's name for the runs that belong together.
        tracking_uri: A tracking server or a database; None for $MLFLOW_TRACKING_URI or, without it, `mlflow.db` in the
            folder above the run's, which the runs of a sweep share. `mlflow ui`, called in that folder, shows it.
        require_held: The lock's (`RunLock.require_held`), to raise if another process has taken over the run; supplied
            by the program.

    Raises:
        RuntimeError: If MLflow is not installed.
    """

    def __init__(
        self,
        run_directory: Path,
        experiment_name: str,
        tracking_uri: str | None,
        require_held: Callable[[], object] = lambda: None,
    ) -> None:
        require_package("mlflow", "MLflow", "mlflow")
        directory = Path(run_directory).absolute()
        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")

        def open_run(facts: RunFacts) -> MLflowRun:
            for name, value in _DEFAULTS.items():
                os.environ.setdefault(name, value)
            return MLflowRun(directory, experiment_name, uri, require_held)

        store = f"MLflow's store `{uri or default_store(directory)}`"
        self._sender = Sender(directory, store, "check `tracking_uri`", id_path(directory), open_run)
