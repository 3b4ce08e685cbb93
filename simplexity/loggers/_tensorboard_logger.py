"""Metrics to event files for TensorBoard, by a thread of its own: training never waits for a disk."""

import importlib
import struct
import time
from pathlib import Path
from typing import Any

from simplexity.runs import RunDirectory, is_there

from ._sending_logger import Sender, SendingLogger, numbers_of, parameters_of, require_package, run_name


class TensorBoardLogger(SendingLogger):
    """Writes the lines of the run's metrics.jsonl to the run's folder `tensorboard`, with the config and the figures.

    Every number of a line is written; lists, such as losses per position, are left to metrics.jsonl. That file is what
    is written from: a `FileLogger` has to stand before this logger. `tensorboard --logdir FOLDER` shows the run, or all
    runs of a sweep. A resumed run adds a file, writes what the earlier ones lack, and withdraws what they have of steps
    past its checkpoint (`purge_step`), since those are logged again.

    A thread of its own writes. A fresh run is refused if the folder cannot be written. After that no fault of the disk
    stops a run: there is one warning, and what could not be written is tried again. Closing waits seconds at most.

    Args:
        run_directory: The run's directory; supplied by the program.

    Raises:
        RuntimeError: If TensorBoard is not installed.
    """

    def __init__(self, run_directory: Path) -> None:
        require_package("tensorboard", "TensorBoard", "tensorboard")
        directory = RunDirectory(Path(run_directory).absolute())
        folder = directory.path / "tensorboard"
        store, remedy = f"TensorBoard's folder `{folder}`", "see whether it can be written"
        self._sender = Sender(
            directory.path, store, remedy, folder, lambda facts: _EventFile(directory, folder, facts.start_step)
        )


class _EventFile:
    """What one process adds to the folder. Each line is one event: whatever is killed, a line is there or it is not."""

    def __init__(self, directory: RunDirectory, folder: Path, start_step: int):
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._directory = directory
        self._last_step = min(_last_step(folder), start_step)
        self._writer: Any = EventFileWriter(str(folder))
        # TensorBoard then forgets later steps of the earlier files. It takes the first such event for no restart.
        self._add(self._last_step + 1, session_log=_proto("event").SessionLog(status=1))
        if self._last_step < 0 and is_there(directory.config_path):
            self._add_config()
        self._writer.flush()

    def send(self, lines: list[dict[str, Any]]) -> None:
        """Writes the lines after the last step that the folder has."""
        summary = _proto("summary").Summary
        for line in lines:
            if line["step"] > self._last_step:
                values = [summary.Value(tag=name, simple_value=value) for name, value in numbers_of(line).items()]
                self._add(line["step"], line["timestamp"], summary=summary(value=values))
                self._last_step = line["step"]
        self._writer.flush()

    def end(self, finished: bool) -> None:
        """Adds the figures that there are, and closes the file."""
        summary = _proto("summary").Summary
        for figure in sorted(self._directory.figures_path.glob("*.png")):
            content = figure.read_bytes()
            width, height = struct.unpack(">II", content[16:24])  # of the PNG's first chunk, IHDR
            image = summary.Image(width=width, height=height, colorspace=4, encoded_image_string=content)
            value = summary.Value(tag=f"figures/{figure.stem}", image=image)
            self._add(max(self._last_step, 0), summary=summary(value=[value]))
        self._writer.close()

    def _add_config(self) -> None:
        """The config as text, and as hyperparameters, by which TensorBoard compares the runs of a sweep."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb
        from tensorboard.plugins.text.summary_v2 import text_pb

        # Markdown takes indented lines as they are.
        text = "".join(f"    {line}" for line in self._directory.config_path.read_text().splitlines(keepends=True))
        self._add(0, summary=text_pb("config", text))
        self._add(0, summary=hparams_pb(parameters_of(self._directory), trial_id=run_name(self._directory)))

    def _add(self, step: int, time_s: float | None = None, **content: Any) -> None:
        time_s = time.time() if time_s is None else time_s
        self._writer.add_event(_proto("event").Event(wall_time=time_s, step=step, **content))


def _last_step(folder: Path) -> int:
    """The last logged step that TensorBoard would show; -1 if there is none."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    last = -1
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in LegacyEventFileLoader(str(path)).Load():
            if event.HasField("session_log"):
                last = min(last, event.step - 1)
            elif any(value.HasField("simple_value") for value in event.summary.value):
                last = event.step
    return last


def _proto(name: str) -> Any:
    """TensorBoard's protocol buffers, whose classes no type checker sees: `event` or `summary`."""
    return importlib.import_module(f"tensorboard.compat.proto.{name}_pb2")
