import importlib.util
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from simplexity.runs import RunDirectory, write_durably

from ._logger import Logger, Metrics, RunFacts

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_BATCHES = 1.0
# Limits of one request: https://mlflow.org/docs/latest/api_reference/rest-api.html
_METRICS_PER_BATCH = 1000
_PARAMS_PER_BATCH = 100
_PARAM_LENGTH = 6000


class MLflowLogger(Logger):
    """Logs every number of a logged line to MLflow, and the run's config as parameters.

    Lists, such as losses per position, are left to metrics.jsonl. A resumed run goes on with the same MLflow run,
    whose id is kept in the run directory, and sends only what that one lacks: a resumed run repeats itself exactly,
    so what a killed process had sent past its checkpoint is right as it is.

    A tracking server that fails while a run trains does not stop the run: there is one warning, and nothing more is
    sent.

    Args:
        run_directory: The run's directory; supplied by the program.
        experiment_name: MLflow's name for the runs that belong together.
        tracking_uri: A tracking server or store; None for a store of files in the run directory, `mlruns`.

    Raises:
        RuntimeError: If MLflow is not installed.
    """

    def __init__(self, run_directory: Path, experiment_name: str, tracking_uri: str | None) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise RuntimeError("logging to MLflow needs a package more: pip install 'simplexity[mlflow]'")
        self._run_directory = Path(run_directory).absolute()
        self._experiment_name = experiment_name
        self._tracking_uri = tracking_uri or (self._run_directory / "mlruns").as_uri()
        self._client: Any = None
        self._run_id = ""
        self._last_steps: dict[str, int] = {}
        self._unsent: list[Any] = []
        self._sent_s = time.monotonic()
        self._step, self._num_train_steps = 0, 0

    def start(self, facts: RunFacts) -> None:
        # Before the first import, which takes two seconds and would report the user's environment to MLflow's makers.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # MLflow discourages its store of files, but any other local store needs a database driver.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        self._num_train_steps = facts.num_train_steps
        try:
            self._client = MlflowClient(tracking_uri=self._tracking_uri)
            self._run_id = self._continued_run() or self._new_run()
        except Exception as error:
            raise RuntimeError(
                f"MLflow's store `{self._tracking_uri}` cannot be used: {_one_line(error)}; check `tracking_uri`"
            ) from error

    def log(self, step: int, metrics: Metrics) -> None:
        if self._client is None:
            return
        from mlflow.entities import Metric

        self._step = step
        timestamp_ms = int(1000 * time.time())
        for name, value in metrics.items():
            if not isinstance(value, list) and step > self._last_step_of(name):
                self._unsent.append(Metric(name, float(value), timestamp_ms, step))
                self._last_steps[name] = step

    def progress(self, step: int) -> None:
        if time.monotonic() - self._sent_s >= _SECONDS_BETWEEN_BATCHES:
            self.flush()

    def flush(self) -> None:
        unsent, self._unsent, self._sent_s = self._unsent, [], time.monotonic()
        for first in range(0, len(unsent), _METRICS_PER_BATCH):
            batch = unsent[first : first + _METRICS_PER_BATCH]
            self._attempt(lambda batch=batch: self._client.log_batch(self._run_id, metrics=batch))

    def close(self) -> None:
        self.flush()
        # What was stopped may go on one day; MLflow has no better word for it.
        status = "FINISHED" if self._step >= self._num_train_steps else "KILLED"
        self._attempt(lambda: self._client.set_terminated(self._run_id, status))
        self._client = None

    def _continued_run(self) -> str | None:
        """The run of an earlier process, set to running again; None if there is none, or it is in another store."""
        from mlflow.exceptions import MlflowException

        try:
            run_id = self._id_path.read_text().strip()
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

        name = "/".join(self._run_directory.parts[-2:])
        run_id = self._client.create_run(self._experiment_id(), run_name=name).info.run_id
        params = [Param(key, value[:_PARAM_LENGTH]) for key, value in self._config()]
        for first in range(0, len(params), _PARAMS_PER_BATCH):
            self._client.log_batch(run_id, params=params[first : first + _PARAMS_PER_BATCH])
        write_durably(self._id_path, f"{run_id}\n")
        return run_id

    def _experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self._experiment_name)
        try:
            return found.experiment_id if found else self._client.create_experiment(self._experiment_name)
        except MlflowException:
            # Another run of the same sweep was quicker.
            found = self._client.get_experiment_by_name(self._experiment_name)
            if found is None:
                raise
            return found.experiment_id

    def _config(self) -> Iterator[tuple[str, str]]:
        import yaml  # a dependency of MLflow

        path = RunDirectory(self._run_directory).config_path
        if path.exists():
            yield from _flatten(yaml.safe_load(path.read_text()), "")

    def _last_step_of(self, name: str) -> int:
        """The last step at which the MLflow run has this metric; -1 if it has none."""
        if name not in self._last_steps:
            history = self._attempt(lambda: self._client.get_metric_history(self._run_id, name)) or []
            self._last_steps[name] = max((metric.step for metric in history), default=-1)
        return self._last_steps[name]

    def _attempt(self, request: Callable[[], Any]) -> Any:
        if self._client is None:
            return None
        try:
            return request()
        except Exception as error:
            _log.warning("MLflow's store `%s` gets no more metrics: %s", self._tracking_uri, _one_line(error))
            self._client = None
            return None

    @property
    def _id_path(self) -> Path:
        return self._run_directory / "mlflow_run_id"


def _flatten(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _flatten(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, str(node)


def _one_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
