"""One run in MLflow's store: the requests that create it, continue it, fill it and end it."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simplexity.runs import RunDirectory, is_there, write_durably

from ._sending_logger import numbers_of, parameters_of, run_name

# Limits of one request: https://mlflow.org/docs/latest/api_reference/rest-api.html
_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_PARAM_LENGTH = 6000


class MLflowRun:
    """Opens the MLflow run of a run directory, or makes it. Every method may wait for the store, and fail as it does.

    Args:
        run_directory: Where the MLflow run's id is kept.
        experiment_name: MLflow's name for the runs that belong together.
        tracking_uri: A tracking server or a database; None for `mlflow.db` in the folder above the run's.
        require_held: As in `write_durably`.
    """

    def __init__(
        self,
        run_directory: Path,
        experiment_name: str,
        tracking_uri: str | None,
        require_held: Callable[[], object] = lambda: None,
    ):
        from mlflow.tracking import MlflowClient

        self._directory = RunDirectory(run_directory)
        self._require_held = require_held
        self._experiment_name = experiment_name
        folder = run_directory.parent
        self._artifacts = None if tracking_uri else (folder / "mlartifacts").as_uri()
        with _one_at_a_time(folder / ".mlflow.lock", self._artifacts is not None):
            self._client: Any = MlflowClient(tracking_uri=tracking_uri or default_store(run_directory))
            self._experiment_id = self._find_experiment()
        self._run_id = self._continued_run() or self._new_run()
        self._last_steps: dict[str, int] = {}

    def send(self, lines: list[dict[str, Any]]) -> None:
        """Sends the numbers of lines of metrics.jsonl, those that the MLflow run lacks."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, int(1000 * line["timestamp"]), line["step"])
            for line in lines
            for name, value in numbers_of(line).items()
            if line["step"] > self._last_step_of(name)
        ]
        for first in range(0, len(metrics), _METRICS_PER_BATCH):
            batch = metrics[first : first + _METRICS_PER_BATCH]
            self._client.log_batch(self._run_id, metrics=batch)
            self._last_steps.update({metric.key: metric.step for metric in batch})

    def end(self, finished: bool) -> None:
        """Adds the figures that there are, and sets the status."""
        for figure in sorted(self._directory.figures_path.glob("*")):
            self._client.log_artifact(self._run_id, str(figure), "figures")
        # A stopped run may be resumed; MLflow has no status for that.
        self._client.set_terminated(self._run_id, "FINISHED" if finished else "KILLED")

    def _find_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self._experiment_name
        found = self._client.get_experiment_by_name(name)
        try:
            return found.experiment_id if found else self._client.create_experiment(name, self._artifacts)
        except MlflowException:
            # Another run of the same sweep was quicker.
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return found.experiment_id

    def _continued_run(self) -> str | None:
        """The run of an earlier process, set to running again; None if there is none, or it is in another store."""
        from mlflow.exceptions import MlflowException

        try:
            run_id = id_path(self._directory.path).read_text().strip()
            self._client.update_run(run_id, status="RUNNING")
        except FileNotFoundError:
            return None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run_id

    def _new_run(self) -> str:
        from mlflow.entities import Param

        name = run_name(self._directory)
        self._require_held()
        run_id = self._client.create_run(self._experiment_id, run_name=name).info.run_id
        # First of all, or a process that is killed leaves a second run behind.
        write_durably(id_path(self._directory.path), f"{run_id}\n", self._require_held)
        params = [Param(key, value[:_PARAM_LENGTH]) for key, value in parameters_of(self._directory).items()]
        for first in range(0, len(params), _PARAMS_PER_BATCH):
            self._client.log_batch(run_id, params=params[first : first + _PARAMS_PER_BATCH])
        if is_there(self._directory.config_path):
            self._client.log_artifact(run_id, str(self._directory.config_path))
        return run_id

    def _last_step_of(self, name: str) -> int:
        """The last step at which the MLflow run has this metric; -1 if it has none."""
        if name not in self._last_steps:
            history = self._client.get_metric_history(self._run_id, name)
            self._last_steps[name] = max((metric.step for metric in history), default=-1)
        return self._last_steps[name]


def default_store(run_directory: Path) -> str:
    """The database in the folder above the run's, where a sweep's runs stand side by side."""
    return f"sqlite:///{run_directory.parent / 'mlflow.db'}"


def id_path(run_directory: Path) -> Path:
    """The file with the id of the MLflow run; there is one once the run has been made."""
    return run_directory / "mlflow_run_id"


@contextmanager
def _one_at_a_time(path: Path, is_needed: bool) -> Iterator[None]:
    """A database that several runs set up at once is left half made."""
    if not is_needed:
        yield
        return
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
