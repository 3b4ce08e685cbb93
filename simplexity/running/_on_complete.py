"""`persistence.on_complete`: what a run that is complete leaves behind, which may be much less than it needed."""

import shutil
from collections.abc import Callable
from typing import Literal

from omegaconf import DictConfig, OmegaConf

from simplexity.persistence import copy_to_host, snapshot_path, write_weights
from simplexity.runs import RunDirectory, RunLock
from simplexity.sweeps import sweep_of
from simplexity.training import TrainState


def on_complete(config: DictConfig, directory: RunDirectory) -> Literal["keep", "weights", "compact"]:
    """What the run does when it is complete.

    `auto` is compact in a sweep, because a site limits the number of files, and keep for a run alone. A run without
    checkpoints, or with some that are to be kept for good, has nothing to compact.

    Args:
        config: The run's; one that was frozen by an earlier version has no such key.
        directory: The run's.
    """
    chosen, instance = config.persistence.get("on_complete", "keep"), config.persistence.instance
    if instance is None:
        return "keep"
    if chosen == "auto":
        keeps_some = instance.get("keep_every_steps") is not None or instance.get("keep_best", False)
        return "keep" if keeps_some or sweep_of(directory.path) is None else "compact"
    return chosen


def remove_unneeded(
    directory: RunDirectory, config: DictConfig, state: TrainState, require_held: Callable[[], object]
) -> None:
    """Leaves what a complete run keeps, before it is marked as complete.

    A crash in between leaves a run that resumes at its last step, from the final state, and comes here again.

    Args:
        directory: The run's, whose checkpoints are closed.
        config: Its config.
        state: After the last step.
        require_held: The run's lock.

    Raises:
        OSError: If a file cannot be written, or a folder not be renamed.
    """
    require_held()
    # Renamed first: a kill halfway through must not leave half a checkpoint.
    doomed = directory.checkpoints_path.with_suffix(".deleting")
    shutil.rmtree(doomed, ignore_errors=True)
    if directory.checkpoints_path.is_dir():
        shutil.rmtree(directory.checkpoints_path.rename(doomed), ignore_errors=True)
    # Thirty thousand points for a picture. `simplexity analyze` computes them again from the model.
    directory.belief_states_path.unlink(missing_ok=True)
    if on_complete(config, directory) == "weights":
        step = int(state.step)
        model_config = OmegaConf.to_container(config.predictive_model.instance)
        directory.snapshots_path.mkdir(exist_ok=True)
        path = snapshot_path(directory.snapshots_path, step)
        write_weights(path, copy_to_host(state.model), step, model_config, require_held=require_held)


def remove_the_rest(directory: RunDirectory, config: DictConfig, lock: RunLock) -> None:
    """Removes what was needed until the run was marked as complete; a crash before leaves two or three files more.

    Args:
        directory: The run's.
        config: Its config.
        lock: Held; the run has no lock any more when this returns.
    """
    if on_complete(config, directory) == "weights":
        lock.require_held()
        directory.final_state_path.unlink(missing_ok=True)
    lock.release(remove=True)
