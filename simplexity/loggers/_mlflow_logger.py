"""Metrics to MLflow, by a thread of its own: training never waits for a server."""

import importlib.util
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any

from simplexity.runs import RunDirectory, is_there

from ._logger import Logger, Metrics, RunFacts
from ._mlflow_run import MLflowRun, default_store, id_path

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_BATCHES = 1.0
_LONGEST_PAUSE_S = 60.0
# It takes seconds to make a database, more where other runs wait for it too.
_OPENING_S = 60.0
# A run that is stopped has little time.
_CLOSING_S = 5.0
# A line has a few numbers for every position of a sequence: some kilobytes.
_READ_BYTES = 4 * 2**20
_DEFAULTS = {
    # Importing MLflow would report the user's environment to its makers.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # It logs every table that it creates.
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # By default it tries for minutes, and prints a line each time. Here a later batch is the next try.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MLflowLogger(Logger):
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

    Raises:
        RuntimeError: If MLflow is not installed.
    """

    def __init__(self, run_directory: Path, experiment_name: str, tracking_uri: str | None) -> None:
        if importlib.util.find_spec("mlflow") is None:
            raise RuntimeError("logging to MLflow needs a package more: pip install 'simplexity[mlflow]'")
        self._run_directory = Path(run_directory).absolute()
        self._experiment_name = experiment_name
        self._tracking_uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._lines = _NewLines(RunDirectory(self._run_directory).metrics_path)
        self._thread: threading.Thread | None = None
        self._closing, self._tried = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._has_warned = False
        self._step, self._num_train_steps = 0, 0

    def start(self, facts: RunFacts) -> None:
        for name, value in _DEFAULTS.items():
            os.environ.setdefault(name, value)
        if not is_there(RunDirectory(self._run_directory).metrics_path):
            raise RuntimeError("MLflow is sent what is in metrics.jsonl: put a `FileLogger` before the `MLflowLogger`")
        self._num_train_steps = facts.num_train_steps
        is_new = not is_there(id_path(self._run_directory))
        # A daemon, because a process that ends does not wait for a server that hangs.
        self._thread = threading.Thread(target=self._work, args=(is_new,), daemon=True)
        self._thread.start()
        if is_new:
            self._tried.wait(_OPENING_S)
            if self._error is not None or not self._tried.is_set():
                self._closing.set()
                self._thread = None
                raise RuntimeError(
                    f"MLflow's store `{self._store}` cannot be used: {self._reason()}; check `tracking_uri`"
                ) from self._error

    def log(self, step: int, metrics: Metrics) -> None:
        """Notes how far the run is; the line itself is read from metrics.jsonl."""
        self._step = step

    def progress(self, step: int) -> None:
        """Does nothing: the thread looks for new lines by itself."""

    def flush(self) -> None:
        """Does nothing: metrics.jsonl is durable, and what a kill leaves unsent is sent by the resumed run."""

    def close(self) -> None:
        """Waits until everything is sent, for a few seconds at most, and warns if it was not."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._closing.set()
        thread.join(_CLOSING_S)
        if thread.is_alive() or self._error is not None:
            _log.warning(
                "MLflow's store `%s` does not have all metrics of this run (%s); metrics.jsonl has, and a resumed run "
                "sends the rest",
                self._store,
                self._reason(),
            )

    @property
    def _store(self) -> str:
        return self._tracking_uri or default_store(self._run_directory)

    def _reason(self) -> str:
        return "it does not answer" if self._error is None else _one_line(self._error)

    def _work(self, is_new: bool) -> None:
        """Sends until the run ends, after a failure more and more rarely; a new run ends with the first failure."""
        run: MLflowRun | None = None
        pause_s = _SECONDS_BETWEEN_BATCHES
        is_last = False
        while not is_last:
            is_last = self._closing.is_set()
            try:
                if run is None:
                    run = MLflowRun(self._run_directory, self._experiment_name, self._tracking_uri)
                    self._tried.set()
                self._send_new_lines(run)
                if is_last:
                    # A stopped run may be resumed; MLflow has no status for that.
                    run.end("FINISHED" if self._step >= self._num_train_steps else "KILLED")
                self._error, pause_s = None, _SECONDS_BETWEEN_BATCHES
            except Exception as error:  # whatever MLflow and the libraries below it raise
                is_refused = is_new and run is None
                if not (self._has_warned or is_refused or self._closing.is_set()):
                    _log.warning("MLflow's store `%s` fails: %s; it is tried again", self._store, _one_line(error))
                    self._has_warned = True
                self._error, pause_s = error, min(2 * pause_s, _LONGEST_PAUSE_S)
                is_last = is_last or is_refused
                self._tried.set()
            if not is_last:
                self._closing.wait(pause_s)

    def _send_new_lines(self, run: MLflowRun) -> None:
        while lines := self._lines.read():
            run.send(lines)
            self._lines.advance()


class _NewLines:
    """The lines of a growing metrics.jsonl that were not sent yet, some megabytes at a time.

    The last line may give way to another of the same step; so reading begins at that line again.
    """

    def __init__(self, path: Path):
        self._path = path
        self._sent_step, self._position = -1, 0
        self._next_step, self._next_position = -1, 0

    def read(self) -> list[dict[str, Any]]:
        """What is new; the same again until `advance` is called."""
        with open(self._path, "rb") as file:
            file.seek(self._position)
            block = file.read(_READ_BYTES)
        lines = block[: block.rfind(b"\n") + 1].splitlines(keepends=True)
        try:
            records = [json.loads(line) for line in lines]
        except ValueError:
            records = []
        if not records:
            self._position = 0  # the file was cut, or has nothing yet
            return []
        self._next_step = records[-1]["step"]
        self._next_position = self._position + sum(map(len, lines[:-1]))
        return [record for record in records if record["step"] > self._sent_step]

    def advance(self) -> None:
        """Counts what was read as sent."""
        self._sent_step, self._position = self._next_step, self._next_position


def _one_line(error: BaseException) -> str:
    """What the operating system said, which MLflow and the libraries below it wrap up; else the first line."""
    text = (str(error).splitlines() or [type(error).__name__])[0][:200]
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__ == "builtins" and isinstance(cause, OSError):
            text = cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    return text
