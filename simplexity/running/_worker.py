"""A worker process of a run: it computes what process 0, the coordinator, computes, and writes no files."""

import logging
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

import jax

from simplexity.composition import load_frozen, one_line, restore_surroundings, with_kept_files
from simplexity.runs import ExitCode, RunDirectory
from simplexity.training import TrainState, TrainSteps

from ._build import build
from ._compilation import BackgroundCompilation, compilation_cache
from ._coordinator import broadcast_state
from ._devices import share_among_devices
from ._failures import is_expected
from ._messages import ToCoordinator


class _Work(NamedTuple):
    """A state of the run's shapes, and its compiled step."""

    state: TrainState
    train_steps: TrainSteps


def work(coordinator: ToCoordinator) -> int:
    """Executes the coordinator's commands until it shuts this process down.

    Returns:
        The exit code of process 0, or 1 if this process failed.
    """
    logging.getLogger("simplexity").setLevel(logging.ERROR)  # process 0 logs for all
    try:
        prepared = _prepare(coordinator)
        if prepared is not None:
            coordinator.report_ready()
            _execute_commands(prepared, coordinator)
        return coordinator.wait_for_shutdown()
    except RuntimeError as error:
        # Not reported to process 0, which may wait for this one in a computation: that ends when this process does.
        sys.stderr.write(f"process {jax.process_index()} of the run failed: {one_line(str(error))}\n")
        return ExitCode.FAILED


def _prepare(coordinator: ToCoordinator) -> _Work | None:
    """Builds and compiles; None if there is nothing to be done, or it failed."""
    try:
        run_dir = coordinator.wait_for_run(sys.argv[1:])
        return None if run_dir is None else _compile(run_dir, coordinator)
    except Exception as error:
        if not is_expected(error):
            traceback.print_exc()
        coordinator.report_failure(one_line(str(error)) or type(error).__name__)
        return None


def _compile(run_dir: Path, coordinator: ToCoordinator) -> _Work | None:
    restore_surroundings(run_dir, environment=False)
    config = with_kept_files(load_frozen(run_dir), RunDirectory(run_dir))
    with compilation_cache():
        experiment = build(config)
        state = experiment.initial_state()
        compilation = BackgroundCompilation(experiment, state, share_among_devices(config), validates=False)
        programs = compilation.wait(coordinator)
    return None if programs is None else _Work(state, programs.train_steps)


def _execute_commands(prepared: _Work, coordinator: ToCoordinator) -> None:
    if coordinator.next_command() is None:
        return
    state = broadcast_state(prepared.state)
    while (num_steps := coordinator.next_command()) is not None:
        # Blocks: the next command comes only when process 0 has taken this one's steps too.
        state = jax.block_until_ready(prepared.train_steps(state, num_steps))
