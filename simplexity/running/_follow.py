"""The processes of a run that process 0 leads: they compute, and write nothing but a line on what went wrong."""

import logging
import sys
import traceback
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from simplexity.composition import ConfigError, load_frozen, one_line, restore_surroundings, with_kept_files
from simplexity.runs import ExitCode, RunDirectory
from simplexity.training import TrainState, TrainSteps

from ._build import build
from ._cache import compilation_cache
from ._compilation import BackgroundCompilation
from ._devices import share_among_devices
from ._lead import taken_over
from ._messages import Leader


class _Work(NamedTuple):
    """A state of the run's shapes, and its compiled step."""

    state: TrainState
    train_steps: TrainSteps


def follow(leader: Leader) -> int:
    """Does what process 0 says until it says to leave.

    Returns:
        The exit code of process 0, or 1 if this process cannot go on.
    """
    logging.getLogger("simplexity").setLevel(logging.ERROR)  # process 0 says it all
    try:
        work = _prepare(leader)
        if work is not None:
            leader.report_ready()
            _carry_out(work, leader)
        return leader.wait_for_dismissal()
    except RuntimeError as error:
        # Without a word to process 0, which may wait for this one in a computation: that ends when this process does.
        sys.stderr.write(f"process {jax.process_index()} of the run cannot go on: {one_line(str(error))}\n")
        return ExitCode.FAILED


def _prepare(leader: Leader) -> _Work | None:
    """Builds and compiles; None if there is nothing to be done, or it failed."""
    try:
        run_dir = leader.wait_for_run(sys.argv[1:])
        return None if run_dir is None else _compile(run_dir, leader)
    except Exception as error:
        if not isinstance(error, ConfigError | RuntimeError | OSError):
            traceback.print_exc()
        leader.report_failure(one_line(str(error)) or type(error).__name__)
        return None


def _compile(run_dir: Path, leader: Leader) -> _Work | None:
    restore_surroundings(run_dir, environment=False)
    config = with_kept_files(load_frozen(run_dir), RunDirectory(run_dir))
    with compilation_cache():
        experiment = build(config)
        state = experiment.initial_state()
        compilation = BackgroundCompilation(experiment, state, share_among_devices(config), validates=False)
        programs = compilation.wait(leader)
    return None if programs is None else _Work(state, programs.train_steps)


def _carry_out(work: _Work, leader: Leader) -> None:
    if leader.next_order() is None:
        return
    state = taken_over(work.state)
    while (num_steps := leader.next_order()) is not None:
        state = jax.block_until_ready(work.train_steps(state, jnp.asarray(num_steps, jnp.int32)))
