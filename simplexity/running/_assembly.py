"""Assembles a run from its frozen config and its folder: devices, data files, programs, checkpoints, state.

The order is not free. The compiler takes the most time and works in a thread of its own, so all that needs no program
happens beside it. The workers of a run in several processes compile at the same time, so they are told first.
"""

from typing import Any, NamedTuple

from omegaconf import DictConfig

from simplexity.composition import keep_data_files
from simplexity.host import PreemptionGuard
from simplexity.runs import Ledger, RunDirectory, RunLock, read_json_lines, retry_read
from simplexity.training import TrainState

from ._announcements import announce_start
from ._build import Experiment, build
from ._checkpoints import Checkpoints, open_checkpoints, restore
from ._compilation import BackgroundCompilation, Programs
from ._coordinator import Coordinator
from ._devices import check_accelerator, keep_cpu_devices, share_among_devices, start_jax
from ._packs import Place
from ._records import record_this_environment
from ._weights import with_weights


class Assembly(NamedTuple):
    """A run that is ready to train.

    Attributes:
        experiment: What it computes with.
        state: Where training begins: restored, or fresh.
        is_resumed: Whether the state was restored.
        programs: The compiled ones; None if a stop was requested before all was ready. Then there is nothing to save.
        coordinator: Calls the programs in all processes of the run.
        checkpoints: Open; whoever assembles closes them.
        lines: Those of metrics.jsonl from before this attempt.
    """

    experiment: Experiment
    state: TrainState
    is_resumed: bool
    programs: Programs | None
    coordinator: Coordinator
    checkpoints: Checkpoints
    lines: list[dict[str, Any]]


def assemble(
    directory: RunDirectory,
    config: DictConfig,
    ledger: Ledger,
    lock: RunLock,
    guard: PreemptionGuard,
    built: Experiment | None,
    place: Place | None = None,
) -> Assembly:
    """Assembles the run of `directory`, whose lock this process holds.

    Args:
        directory: The run's.
        config: The frozen one.
        ledger: The run's.
        lock: Held.
        guard: Installed.
        built: What was built from `config` before the lock was taken; None to build it here.
        place: The run's place in the packs of its worker; None for a run that takes its steps alone.

    Raises:
        ConfigError: If the config cannot be built, or the checkpoints are not of this config.
        RuntimeError: If a file cannot be read or written, all checkpoints are gone, or a process of the run has failed.
    """
    check_accelerator(config, start_jax(config, directory))
    keep_cpu_devices(directory, lock.require_held)
    kept = keep_data_files(config, directory, guard.wait, lock.require_held)
    # A file may have changed since `built` read it. What a run computes with are its own copies, in every attempt.
    experiment = built if built is not None and kept is config else build(kept)
    parallel = share_among_devices(kept)
    coordinator = Coordinator(guard)
    coordinator.begin(directory.path)
    with ledger.phases.measure("compiling"):
        state = experiment.initial_state()
        compilation = BackgroundCompilation(experiment, state, parallel, place=place)
    announce_start(directory, kept, state.model, parallel)
    record_this_environment(directory, kept, lock, guard.wait)
    saves_in_one_file = guard.requested if place is not None else lambda: False
    checkpoints = open_checkpoints(directory, kept, ledger, lock.require_held, saves_in_one_file)
    try:
        with ledger.phases.measure("restoring"):
            lines = retry_read(lambda: read_json_lines(directory.metrics_path), guard.wait)
            restored = restore(checkpoints, kept, state, directory, ledger, lines, guard.wait)
            if restored is None:
                state = with_weights(kept, experiment, state, directory, guard.wait, lock.require_held)
            else:
                state = restored
        with ledger.phases.measure("compiling"):
            programs = compilation.wait(coordinator)
            shared = None if programs is None else coordinator.share(state)
    except BaseException:
        checkpoints.close()
        raise
    if shared is None:
        # The compiler cannot be interrupted: it continues in its thread, and the process ends without it.
        programs = None
    else:
        state = shared
    return Assembly(experiment, state, restored is not None, programs, coordinator, checkpoints, lines)
