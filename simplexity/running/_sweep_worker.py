"""`simplexity work`: this process as a worker of a sweep, which executes runs as long as there are any."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from simplexity.composition import (
    ConfigError,
    SectionCheck,
    describe_error,
    environment_variables,
    load_frozen,
    make_importable,
    read_surroundings,
    set_environment,
)
from simplexity.host import PreemptionGuard, configure_accelerator
from simplexity.runs import ExitCode, RunLock, UnreadableError, read_origin, retry_read
from simplexity.sweeps import PackSize, SweepDirectory, SweepRun, WorkerPlace, drain, pack_of

from ._failures import report
from ._resume import execute_frozen
from ._run_log import close_logs, log_by_thread
from ._unreadable import forget_failed_starts, start_once_more

# `auto` on a GPU: enough to fill it with small models, and few enough for the memory of larger ones.
_AUTO_PACK = 64


def work(
    sweep: SweepDirectory,
    guard: PreemptionGuard,
    place: WorkerPlace | None,
    pack: PackSize | None = None,
) -> int:
    """Executes the unfinished runs of a sweep, until none is left or a stop is requested.

    The process keeps its imports, JAX's devices and its compiled programs from one run to the next.

    Args:
        sweep: The sweep.
        guard: Installed; has whether a stop was requested.
        place: Which of a submission's workers this is; None for one that was started by hand.
        pack: How many runs take their steps together; None for as many as the sweep was launched with.

    Returns:
        The exit code: 0 no run has failed here, 1 one has, 85 stopped and to be started again.
    """
    note = None if place is None else sweep.unreadable_path(place.name)
    executor: _Executor | None = None
    try:
        if pack is None:
            pack = pack_of(sweep.read_manifest().launch)
        executor = _Executor(sweep, guard, pack, note)
        exit_code = drain(sweep, guard, executor, place)
    except UnreadableError as error:
        # After its first run: where that has failed and is to stop the others, this task must not come back for them.
        if note is None or (executor is not None and executor.has_executed):
            raise
        return start_once_more(note, error, stop_requested=guard.requested())
    if note is not None:
        # Also where there was no run to execute: what the worker itself needs was read.
        forget_failed_starts(note)
    return exit_code


class _Executor:
    """Executes runs in this process: all that share the variables and the devices that JAX was started with.

    Attributes:
        has_executed: Whether it has begun to execute one.
    """

    def __init__(self, sweep: SweepDirectory, guard: PreemptionGuard, pack: PackSize, note: Path | None = None):
        self._sweep = sweep
        self._pack = pack
        self._packs: Any = None
        self._guard = guard
        self._log_name = f"{sweep.read_manifest(with_runs=False).program}.log"
        self._found = dict(os.environ)
        self._variables: dict[str, str] | None = None
        self._problems_of = SectionCheck()
        # The last config that was read, and its run: it is asked for twice.
        self._read: tuple[int, DictConfig] | None = None
        # The runs of which it is unknown whether this process can take them, and those that are tried once more.
        self._unread: dict[int, UnreadableError] = {}
        self._tried: set[int] = set()
        # Of this worker's earlier starts: see `start_once_more`.
        self._note = note
        self.has_executed = False

    def can_take(self, run: SweepRun) -> bool:
        directory = self._sweep.run_directory(run)
        self._unread.pop(run.index, None)
        try:
            hydra = read_surroundings(directory.path)
            variables = {}
            if hydra is not None:
                make_importable(hydra)
                variables = environment_variables(hydra)
            if self._variables is None:
                if hydra is not None:
                    set_environment(hydra)
                configure_accelerator()
                self._variables = variables
                return True
            return variables == self._variables and self._has_devices_for(run)
        except UnreadableError as error:
            # Without its variables and modules, it would train as another run: `execute` refuses it.
            self._unread[run.index] = error
            return True
        except (ConfigError, RuntimeError):
            # To execute it tells the user what is wrong with it.
            return True

    def num_at_once(self, run: SweepRun) -> int:
        if self._pack == 1 or run.index in self._unread:
            return 1
        # With jax, which imports after the environment is as the runs want it.
        from ._devices import share_among_devices, start_jax

        directory = self._sweep.run_directory(run)
        try:
            config = load_frozen(directory.path)
            platform = start_jax(config, directory)
            if share_among_devices(config) is not None:
                # Two of them would wait for each other's devices.
                return 1
        except (ConfigError, RuntimeError):
            # To execute it tells the user what is wrong with it.
            return 1
        if isinstance(self._pack, int):
            return self._pack
        return 1 if platform == "cpu" else _AUTO_PACK

    @contextmanager
    def together(self) -> Iterator[None]:
        # With jax, which is loaded already.
        from ._compilation import compilation_cache
        from ._packs import Packs

        log_by_thread()
        self._packs = Packs()
        try:
            with compilation_cache():
                yield
        finally:
            self._packs = None

    def execute(self, run: SweepRun, lock: RunLock) -> int:
        # Whatever a worker reads before its first run, it has read. Runs of a pack come here in threads.
        note, self._note, self.has_executed = self._note, None, True
        if note is not None:
            forget_failed_starts(note)
        if (error := self._unread.pop(run.index, None)) is not None:
            return self._put_off(run, error)
        run_dir, run_note = self._sweep.run_directory(run).path, self._sweep.unreadable_path(str(run.index))
        if self._packs is not None:
            with self._packs.place() as place:
                guard = self._guard.for_run()
                return execute_frozen(run_dir, guard, self._log_name, lock, place=place, note=run_note)
        frozen = self._read[1] if self._read is not None and self._read[0] == run.index else None
        try:
            return execute_frozen(run_dir, self._guard, self._log_name, lock, frozen, self._problems_of, note=run_note)
        finally:
            close_logs()

    def renew(self) -> None:
        """JAX reads the environment once, and divides a CPU into devices once: a fresh process can do either anew."""
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], self._found)

    def _put_off(self, run: SweepRun, error: UnreadableError) -> int:
        """The exit code of a run that is tried once more after the others, and has failed if it is for nothing."""
        if run.index in self._tried and not self._guard.requested():
            return report(error)
        self._tried.add(run.index)
        sys.stderr.write(f"{describe_error(error)}; the run is tried once more\n")
        return ExitCode.REQUEUE

    def _has_devices_for(self, run: SweepRun) -> bool:
        """Whether this process sees the CPU as so many devices as the run trains on: other sums round otherwise."""
        import jax

        from simplexity.training import num_cpu_devices

        if jax.default_backend() != "cpu" or os.environ.get("JAX_NUM_CPU_DEVICES"):
            return True
        directory = self._sweep.run_directory(run)
        number = retry_read(lambda: read_origin(directory.origin_path)).cpu_devices
        if number is None:
            config = load_frozen(directory.path)
            self._read = run.index, config
            number = num_cpu_devices(config.training.batch_size * config.training.sequence_len)
        return number == jax.device_count()
