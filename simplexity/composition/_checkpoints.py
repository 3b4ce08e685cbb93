"""A run's checkpoints, or none."""

from typing import Protocol, runtime_checkable

from omegaconf import DictConfig

from simplexity.persistence import OrbaxCheckpointer
from simplexity.runs import EventKind, Ledger, RunDirectory
from simplexity.training import Checkpointer, TrainState

from ._instantiate import instantiate
from ._problems import ConfigError, Problem, blaming


@runtime_checkable
class Checkpoints(Checkpointer, Protocol):
    """A checkpointer of training that restores as well."""

    def steps(self) -> list[int]:
        """The saved steps, in ascending order."""
        ...

    def restore(self, like: TrainState, step: int | None = None) -> tuple[int, TrainState] | None:
        """The newest sound checkpoint, or None."""
        ...

    def close(self) -> None:
        """Waits for what is being saved."""
        ...


class NoCheckpoints:
    """Keeps nothing: a run that is stopped begins again."""

    def next_due_step(self, step: int) -> int | None:
        """None: nothing is ever due."""
        return None

    def due(self, step: int) -> bool:
        """False: nothing is ever due."""
        return False

    def steps(self) -> list[int]:
        """None are saved."""
        return []

    def save(self, step: int, state: TrainState) -> None:
        """Does nothing."""

    def restore(self, like: TrainState, step: int | None = None) -> tuple[int, TrainState] | None:
        """None: there is nothing to restore."""
        return None

    def wait(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


def open_checkpoints(directory: RunDirectory, config: DictConfig, ledger: Ledger) -> Checkpoints:
    """The checkpoints of a run directory, each of which is recorded in the ledger when it is committed.

    Raises:
        RuntimeError: If their folder cannot be written.
    """
    if config.persistence.instance is None:
        return NoCheckpoints()

    def record(step: int) -> None:
        ledger.append(EventKind.CHECKPOINT, step)

    checkpointer = instantiate(config.persistence.instance, directory=directory.checkpoints_path, on_commit=record)
    assert isinstance(checkpointer, OrbaxCheckpointer)
    checkpointer.open()
    return checkpointer


def restore(checkpoints: Checkpoints, config: DictConfig, like: TrainState) -> TrainState | None:
    """The state to go on from, by the rule `persistence.resume`; None for a fresh start.

    Raises:
        ConfigError: If the rule forbids what is there, or the checkpoints are not of this config.
    """
    steps, rule = checkpoints.steps(), config.persistence.resume
    if rule == "never" and steps:
        message = f"is never, but the run directory has checkpoints up to step {steps[-1]}; set auto, or choose another"
        raise ConfigError([Problem("persistence.resume", f"{message} `hydra.run.dir`")])
    with blaming("persistence"):
        restored = checkpoints.restore(like)
    if restored is None and rule == "required":
        raise ConfigError(
            [
                Problem(
                    "persistence.resume",
                    "is required, but the run directory has no sound checkpoint; set auto to begin",
                )
            ]
        )
    return None if restored is None else restored[1]
