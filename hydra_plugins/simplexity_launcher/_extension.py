"""Extending the runs of a sweep: the sweep's command once more, in its folder, with a larger number of steps."""

import re
from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf

from simplexity.composition import ConfigError, Problem, load_frozen, refuse_changes
from simplexity.runs import RunDirectory, RunLock, is_there, read_file, retry_read, write_durably
from simplexity.sweeps import Manifest, SweepDirectory

from ._preparation import PreparedRun

_STEPS = re.compile(r"num_train_steps: \d+")


def longer_runs(manifest: Manifest, prepared: Sequence[PreparedRun]) -> list[PreparedRun]:
    """Those of the runs that the sweep has with fewer steps."""
    known = {run.index: run for run in manifest.runs}
    return [
        one
        for one in prepared
        if one.run.index in known
        and one.run.directory == known[one.run.index].directory
        and one.run.num_train_steps > known[one.run.index].num_train_steps
    ]


def extend_runs(sweep: SweepDirectory, longer: Sequence[PreparedRun]) -> None:
    """Gives runs their larger number of steps; one that is complete is not any more. Nothing else of them may change.

    Raises:
        ConfigError: If more than the number of steps differs, or a run cannot be extended; then none was changed.
        RuntimeError: If a process is executing one of the runs. The same command continues with the others later.
    """
    for one in longer:
        _check(sweep.run_directory(one.run), one)
    for one in longer:
        directory = sweep.run_directory(one.run)
        lock = RunLock(directory.lock_path).acquire()
        was_complete = is_there(directory.complete_path)
        try:
            # In this order: whatever a crash in between leaves, the same command mends.
            write_durably(directory.config_path, "".join(one.config), lock.require_held)
            directory.unmark_complete(lock.require_held)
        finally:
            # A complete run has no lock.
            lock.release(remove=was_complete)


def _check(directory: RunDirectory, one: PreparedRun) -> None:
    text = "".join(one.config)
    if _STEPS.sub("", retry_read(lambda: read_file(directory.config_path)).decode()) != _STEPS.sub("", text):
        new = OmegaConf.create(text)
        if isinstance(new, DictConfig):
            refuse_changes(load_frozen(directory.path), new)
    has_state = is_there(directory.final_state_path) or is_there(directory.checkpoints_path)
    if is_there(directory.complete_path) and not has_state:
        message = (
            f"run {one.run.index} is complete and has kept no training state, so that it cannot be extended "
            "(persistence.on_complete=weights)"
        )
        raise ConfigError([Problem("training.num_train_steps", message)])
