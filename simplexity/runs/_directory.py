"""One run's directory: the names of its files, and the marker of a finished run."""

import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ._reading import read_file, retry_read
from ._writing import reason, sync_directory, write_durably

BEST_FILE = "best.json"
"""In the folder of checkpoints: which of them has the lowest validation loss."""


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(retry_read(lambda: os.lstat(path)).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


class Completion(NamedTuple):
    """How a run ended: the content of its COMPLETE file.

    Attributes:
        step: The last training step.
        loss_nats: The final loss.
        optimum_nats: The best possible loss; None if it is not known.
        excess_nats: Loss minus optimum; None if that is not known.
        time: Unix time.
        optimum_error_nats: What the optimum may be off by; None if that is not known, as of runs of earlier versions.
    """

    step: int
    loss_nats: float
    optimum_nats: float | None
    excess_nats: float | None
    time: float
    optimum_error_nats: float | None = None


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run. Only `create` and `mark_complete` write; everything else is names and reading."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> "RunDirectory":
        """The run directory at `path`, made if it is missing and checked to take files.

        Raises:
            RuntimeError: If no file can be written there, or one of the run's files is a symbolic link.
        """
        directory = cls(path.absolute())
        directory._refuse_links()
        try:
            directory.path.mkdir(parents=True, exist_ok=True)
            # Permissions and free space are believed only after a write: quotas and root squashing show nowhere else.
            probe = directory.path / f".writable.{os.urandom(4).hex()}"
            write_durably(probe, b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            why = reason(error, otherwise="choose another folder")
            raise RuntimeError(f"the run directory {directory.path} cannot be written: {why}") from None
        return directory

    def _refuse_links(self) -> None:
        """Others who may write here could make a run cut or overwrite any file of its user's."""
        hydra = self.path / ".hydra"
        paths = (
            self.config_path, self.ledger_path, self.metrics_path, self.analysis_path, self.belief_states_path,
            self.checkpoints_path, self.final_state_path, self.snapshots_path, self.figures_path, self.environment_path,
            self.origin_path, self.complete_path, self.lock_path, *sorted(self.path.glob("*.log")),
            hydra, *(hydra / name for name in ("config.yaml", "hydra.yaml", "overrides.yaml")),
        )  # fmt: skip
        for path in paths:
            if _is_link(path):
                raise RuntimeError(
                    f"{path} is a symbolic link, and a run writes through none: remove it, "
                    "or put the whole run directory where the link points to"
                )

    @property
    def config_path(self) -> Path:
        """The frozen, resolved config that the run uses."""
        return self.path / "config.yaml"

    @property
    def ledger_path(self) -> Path:
        """Everything that happened to the run: see `Ledger`."""
        return self.path / "run.jsonl"

    @property
    def metrics_path(self) -> Path:
        """One JSON object per logged step."""
        return self.path / "metrics.jsonl"

    @property
    def analysis_path(self) -> Path:
        """One JSON object per analysed step: belief regressions and their controls."""
        return self.path / "analysis.jsonl"

    @property
    def belief_states_path(self) -> Path:
        """The belief states of the newest analysis as arrays, for their picture."""
        return self.path / "belief_states.npz"

    @property
    def checkpoints_path(self) -> Path:
        """Folder of the checkpoints, one folder per step."""
        return self.path / "checkpoints"

    @property
    def best_path(self) -> Path:
        """Which saved step has the lowest validation loss: see `best_saved_step`."""
        return self.checkpoints_path / BEST_FILE

    @property
    def final_state_path(self) -> Path:
        """The state after the last step, in the place of the checkpoints: see `persistence.on_complete`."""
        return self.path / "final_state.safetensors"

    @property
    def snapshots_path(self) -> Path:
        """Folder of the weights that are kept for good, one safetensors file per step."""
        return self.path / "snapshots"

    @property
    def figures_path(self) -> Path:
        """Folder of what people look at."""
        return self.path / "figures"

    @property
    def environment_path(self) -> Path:
        """Versions, commit, devices and host, a record per attempt."""
        return self.path / "environment.json"

    @property
    def origin_path(self) -> Path:
        """What the run began with beside its config: see `Origin`."""
        return self.path / "origin.json"

    @property
    def complete_path(self) -> Path:
        """The marker of a finished run: see `read_completion`."""
        return self.path / "COMPLETE"

    @property
    def unreadable_path(self) -> Path:
        """Notes down that the last start could not read a file, and whether it is made once more."""
        return self.path / ".was_unreadable"

    @property
    def lock_path(self) -> Path:
        """Folder of the lock: see `RunLock`."""
        return self.path / "lock"

    def mark_complete(
        self,
        step: int,
        loss_nats: float,
        optimum_nats: float | None = None,
        excess_nats: float | None = None,
        optimum_error_nats: float | None = None,
        require_held: Callable[[], object] = lambda: None,
    ) -> Completion:
        """Writes COMPLETE: from now on a start of this run does nothing."""
        completion = Completion(step, loss_nats, optimum_nats, excess_nats, round(time.time(), 3), optimum_error_nats)
        write_durably(self.complete_path, json.dumps(completion._asdict()) + "\n", require_held)
        return completion

    def unmark_complete(self, require_held: Callable[[], object] = lambda: None) -> None:
        """Removes COMPLETE, for a finished run that is to take more steps."""
        require_held()
        self.complete_path.unlink(missing_ok=True)
        sync_directory(self.path)

    def read_completion(self) -> Completion | None:
        """How the run ended; None if it has not.

        Raises:
            RuntimeError: If COMPLETE is there, but not as a run writes it.
        """
        try:
            return Completion(**json.loads(read_file(self.complete_path)))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise RuntimeError(
                f"{self.complete_path} was not written by a run; remove it to resume from the last checkpoint"
            ) from None
