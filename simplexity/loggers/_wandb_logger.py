"""Metrics to Weights & Biases, on disk or to its server, by a thread of its own: training never waits for either."""

import json
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from simplexity.runs import RunDirectory, is_there, write_durably

from ._logger import RunFacts
from ._sending_logger import CLOSING_S, Sender, SendingLogger, config_of, numbers_of, require_package, run_name


class WandbLogger(SendingLogger):
    """Sends the lines of the run's metrics.jsonl to Weights & Biases, with the config, and the figures at the end.

    Every number of a line is sent; lists, such as losses per position, are left to metrics.jsonl. That file is what
    is sent from: a `FileLogger` has to stand before this logger. Every process of a run, however often it is requeued,
    continues the run of one id, which is kept in the run directory, and sends what was not sent.

    A thread of its own sends, so that training does not wait. A fresh run is refused if it cannot be made. After that
    no fault stops a run: there is one warning, and what could not be sent is tried again, also when the run is resumed.
    Closing waits a few seconds at most.

    Args:
        run_directory: The run's directory; supplied by the program.
        project: Weights & Biases' name for the runs that belong together.
        mode: `offline` writes to the run's folder `wandb` alone, from where `wandb sync` sends it at any time; `online`
            also sends it at once, to the account that `wandb login` or $WANDB_API_KEY names.
        require_held: The lock's (`RunLock.require_held`), to raise if another process has taken over the run; supplied
            by the program.

    Raises:
        RuntimeError: If Weights & Biases' package is not installed.
    """

    def __init__(
        self,
        run_directory: Path,
        project: str,
        mode: Literal["offline", "online"],
        require_held: Callable[[], object] = lambda: None,
    ) -> None:
        require_package("wandb", "Weights & Biases", "wandb")
        directory = RunDirectory(Path(run_directory).absolute())
        store = f"Weights & Biases ({mode}, `{directory.path / 'wandb'}`)"
        remedy = "see whether the folder can be written" if mode == "offline" else "choose `mode: offline`, or see why"
        record = directory.path / "wandb_run.json"

        def open_run(facts: RunFacts) -> _WandbRun:
            return _WandbRun(directory, record, project, mode, require_held)

        self._sender = Sender(directory.path, store, remedy, record, open_run)


class _WandbRun:
    """One process's part of a run.

    `record` has the run's id, and the last step that an earlier process had sent when it closed. What a process that
    was killed has sent is not known, and sent again: a step's numbers are the same each time.
    """

    def __init__(
        self,
        directory: RunDirectory,
        record: Path,
        project: str,
        mode: Literal["offline", "online"],
        require_held: Callable[[], object],
    ):
        import wandb

        # Its messages are in its folder; they are not to be in the run's log as well.
        logging.getLogger("wandb").propagate = False
        self._directory, self._record, self._require_held = directory, record, require_held
        require_held()
        known = json.loads(record.read_text()) if is_there(record) else {"id": secrets.token_hex(8), "sent_step": -1}
        self._id, self._last_step = known["id"], known["sent_step"]
        self._run: Any = wandb.init(
            project=project,
            id=self._id,
            name=run_name(directory),
            group=directory.path.parent.name,
            config=config_of(directory),
            mode=mode,
            resume="allow",
            dir=directory.path,
            settings=_settings(),
        )
        self._remember()

    def send(self, lines: list[dict[str, Any]]) -> None:
        """Sends the lines after the last step that is known to be sent."""
        for line in lines:
            if line["step"] > self._last_step:
                self._run.log(numbers_of(line) | {"_timestamp": line["timestamp"]}, step=line["step"])
                self._last_step = line["step"]

    def end(self, finished: bool) -> None:
        """Adds the figures that there are, and waits until all is written or sent."""
        import wandb

        figures = sorted(self._directory.figures_path.glob("*.png"))
        if figures:
            images = {f"figures/{figure.stem}": wandb.Image(str(figure)) for figure in figures}
            self._run.log(images, step=max(self._last_step, 0))
        if not finished:
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if finished else 1)
        self._remember()

    def _remember(self) -> None:
        content = json.dumps({"id": self._id, "sent_step": self._last_step}) + "\n"
        write_durably(self._record, content, self._require_held)


def _settings() -> Any:
    """Nothing of the process changes: no output is captured or printed, nothing of the machine is reported."""
    import wandb

    return wandb.Settings(
        silent=True,
        console="off",
        # A process may train several runs.
        reinit="create_new",
        disable_git=True,
        save_code=False,
        x_disable_stats=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        # A batch job has no terminal at which to ask for a password.
        login_timeout=1.0,
        init_timeout=30.0,
        # A run that is stopped has little time; what is not sent by then is on disk.
        finish_timeout=CLOSING_S - 1,
        finish_timeout_raises=True,
        x_transaction_log_flush_interval=1.0,
    )
