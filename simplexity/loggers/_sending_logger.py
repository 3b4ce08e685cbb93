"""What the loggers share that send metrics.jsonl to another program: a thread, so that training never waits."""

import importlib.util
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from simplexity.runs import RunDirectory, is_there

from ._logger import Logger, Metrics, RunFacts

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_BATCHES = 1.0
_LONGEST_PAUSE_S = 60.0
# It takes seconds to make a database, more where other runs wait for it too.
_OPENING_S = 60.0
# A run that is stopped has little time.
CLOSING_S = 5.0
# A line has a few numbers for every position of a sequence: some kilobytes.
_READ_BYTES = 4 * 2**20


class Recipient(Protocol):
    """One run in another program's store. Every method may wait for the store, and fail as it does."""

    def send(self, lines: list[dict[str, Any]]) -> None:
        """Sends the numbers of lines of metrics.jsonl, those that the store lacks."""
        ...

    def end(self, finished: bool) -> None:
        """Adds the figures that there are, and closes; the run may be resumed if it is not `finished`."""
        ...


class SendingLogger(Logger):
    """Sends the lines of the run's metrics.jsonl to another program; the constructor of a subclass sets `_sender`."""

    _sender: "Sender"

    def start(self, facts: RunFacts) -> None:
        self._sender.start(facts)

    def log(self, step: int, metrics: Metrics) -> None:
        """Notes how far the run is; the line itself is read from metrics.jsonl."""
        self._sender.step = step

    def progress(self, step: int) -> None:
        """Does nothing: the thread looks for new lines by itself."""

    def flush(self) -> None:
        """Does nothing: metrics.jsonl is durable, and what a kill leaves unsent is sent by the resumed run."""

    def close(self) -> None:
        """Waits until everything is sent, for a few seconds at most, and warns if it was not."""
        self._sender.close()


class Sender:
    """Sends new lines of metrics.jsonl once a second, by a thread of its own.

    A fresh run is refused if the store cannot be opened. After that no fault of the store stops a run: there is one
    warning, and what could not be sent is tried again, also when the run is resumed.

    Args:
        run_directory: The run's directory.
        store: What messages call the store.
        remedy: What to do where the store cannot be used.
        created: What the run directory has once the store has the run.
        open_run: Opens the run in the store, or makes it; called in the thread.

    Attributes:
        step: The last step that was logged.
    """

    def __init__(
        self, run_directory: Path, store: str, remedy: str, created: Path, open_run: Callable[[RunFacts], Recipient]
    ) -> None:
        self.step = 0
        self._store, self._remedy, self._created, self._open_run = store, remedy, created, open_run
        self._lines = _NewLines(RunDirectory(run_directory).metrics_path)
        self._thread: threading.Thread | None = None
        self._closing, self._tried = threading.Event(), threading.Event()
        self._error: Exception | None = None
        self._has_warned = False

    def start(self, facts: RunFacts) -> None:
        """Starts the thread, and waits for a fresh run's store to be opened.

        Raises:
            RuntimeError: If a fresh run's store cannot be used, or there is no metrics.jsonl.
        """
        if not is_there(self._lines.path):
            raise RuntimeError(f"{self._store} is sent what is in metrics.jsonl: put a `FileLogger` before its logger")
        self.step = facts.start_step
        is_new = not is_there(self._created)
        # A daemon, because a process that ends does not wait for a server that hangs.
        self._thread = threading.Thread(target=self._work, args=(facts, is_new), daemon=True)
        self._thread.start()
        if is_new:
            self._tried.wait(_OPENING_S)
            if self._error is not None or not self._tried.is_set():
                self._closing.set()
                self._thread = None
                raise RuntimeError(f"{self._store} cannot be used: {self._reason()}; {self._remedy}") from self._error

    def close(self) -> None:
        """Waits until everything is sent, for a few seconds at most, and warns if it was not."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._closing.set()
        thread.join(CLOSING_S)
        if thread.is_alive() or self._error is not None:
            _log.warning(
                "%s does not have all metrics of this run (%s); metrics.jsonl has, and a resumed run sends the rest",
                self._store,
                self._reason(),
            )

    def _reason(self) -> str:
        return "it does not answer" if self._error is None else _one_line(self._error)

    def _work(self, facts: RunFacts, is_new: bool) -> None:
        """Sends until the run ends, after a failure more and more rarely; a new run ends with the first failure."""
        run: Recipient | None = None
        pause_s = _SECONDS_BETWEEN_BATCHES
        is_last = False
        while not is_last:
            is_last = self._closing.is_set()
            try:
                if run is None:
                    run = self._open_run(facts)
                    self._tried.set()
                while lines := self._lines.read():
                    run.send(lines)
                    self._lines.advance()
                if is_last:
                    run.end(finished=self.step >= facts.num_train_steps)
                self._error, pause_s = None, _SECONDS_BETWEEN_BATCHES
            except Exception as error:  # whatever the store and the libraries below it raise
                is_refused = is_new and run is None
                if not (self._has_warned or is_refused or self._closing.is_set()):
                    _log.warning("%s fails: %s; it is tried again", self._store, _one_line(error))
                    self._has_warned = True
                self._error, pause_s = error, min(2 * pause_s, _LONGEST_PAUSE_S)
                is_last = is_last or is_refused
                self._tried.set()
            if not is_last:
                self._closing.wait(pause_s)


class _NewLines:
    """The lines of a growing metrics.jsonl that were not sent yet, some megabytes at a time.

    The last line may give way to another of the same step; so reading begins at that line again.
    """

    def __init__(self, path: Path):
        self.path = path
        self._sent_step, self._position = -1, 0
        self._next_step, self._next_position = -1, 0

    def read(self) -> list[dict[str, Any]]:
        """What is new; the same again until `advance` is called."""
        with open(self.path, "rb") as file:
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


def require_package(name: str, program: str, extra: str) -> None:
    """Raises RuntimeError, with the remedy, if the package of a logger is not installed."""
    if importlib.util.find_spec(name) is None:
        raise RuntimeError(f"logging to {program} needs a package more: pip install 'simplexity[{extra}]'")


def numbers_of(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl by name; lists, such as losses per position, are left to that file."""
    return {
        # JSON has no numbers that are not finite: they are null.
        name: float("nan") if value is None else float(value)
        for name, value in line.items()
        if name != "step" and not isinstance(value, list)
    }


def config_of(directory: RunDirectory) -> dict[str, Any]:
    """The run's frozen config; empty if there is none."""
    import yaml  # most runs have no logger that needs it

    return yaml.safe_load(directory.config_path.read_text()) if is_there(directory.config_path) else {}


def parameters_of(directory: RunDirectory) -> dict[str, str]:
    """The leaves of the run's frozen config by their dotted keys."""
    return dict(_flatten(config_of(directory), ""))


def _flatten(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping) and (node or not path):
        for key, value in node.items():
            yield from _flatten(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, str(node)


def run_name(directory: RunDirectory) -> str:
    """What other programs call the run: its folder and the one above it."""
    return "/".join(directory.path.parts[-2:])


def _one_line(error: BaseException) -> str:
    """What the operating system said, which MLflow and the libraries below it wrap up; else the first line."""
    text = (str(error).splitlines() or [type(error).__name__])[0][:200]
    cause: BaseException | None = error
    while cause is not None:
        if type(cause).__module__ == "builtins" and isinstance(cause, OSError):
            text = cause.strerror or str(cause)
        cause = cause.__cause__ or cause.__context__
    return text
