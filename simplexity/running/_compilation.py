"""Compiles a run's programs while the run gets everything else ready, and keeps compiled programs for later starts."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from simplexity.host import CompilationCache, default_cache_folder
from simplexity.training import DataParallel, Preemption, TrainState, TrainSteps, Validation, make_train_steps, run_keys

from ._build import Experiment
from ._memory import require_memory
from ._private_jax import jax_uses

_log = logging.getLogger("simplexity")
_POLL_S = 0.05


class Programs(NamedTuple):
    """Compiled for the shapes of one run."""

    train_steps: TrainSteps
    validation: Validation | None


class BackgroundCompilation:
    """Compiles in a thread: XLA lets other threads run, and a signal be seen, while it works.

    Args:
        experiment: What to compile.
        state: A state of the run's shapes; its values are not used.
        parallel: The devices to train on; None for one.
        validates: Whether this process validates, if the run does.
    """

    def __init__(
        self, experiment: Experiment, state: TrainState, parallel: DataParallel | None = None, validates: bool = True
    ):
        self._programs: Programs | None = None
        self._error: BaseException | None = None
        self._parallel = parallel
        self._validates = validates
        # A daemon, because a process in which a stop was requested does not wait for it.
        self._thread = threading.Thread(target=self._compile, args=(experiment, state), daemon=True)
        self._thread.start()

    def wait(self, preemption: Preemption) -> Programs | None:
        """The programs, or None as soon as `preemption` knows of a request to stop."""
        while self._thread.is_alive():
            if preemption.requested():
                return None
            self._thread.join(_POLL_S)
        if self._error is not None:
            raise self._error
        return self._programs

    def _compile(self, experiment: Experiment, state: TrainState) -> None:
        try:
            optimizer = experiment.optimizer
            program = make_train_steps(experiment.generator, optimizer.make, experiment.settings, self._parallel)
            arguments = (optimizer.hyperparameters, state, jnp.zeros((), jnp.int32))
            parallel = self._parallel
            lowered = program.lower(*arguments) if parallel is None else parallel.lower(program, *arguments)
            compiled = lowered.compile()  # pyright: ignore
            require_memory(compiled, "a training step takes")
            train_steps = compiled if parallel is None else parallel.on_first_device(compiled)
            validation = self._compiled_validation(experiment, state) if self._validates else None
            self._programs = Programs(partial(train_steps, optimizer.hyperparameters), validation)
        except BaseException as error:
            self._error = error

    @staticmethod
    def _compiled_validation(experiment: Experiment, state: TrainState) -> Validation | None:
        if experiment.validation is None:
            return None
        key = run_keys(experiment.seed).validation
        settings, length = experiment.validation, experiment.settings.sequence_len
        validation = Validation(experiment.validation_generator, settings, length, key=key)
        require_memory(validation.compile(state.model), "validation takes", "choose a smaller `validation.batch_size`")
        return validation


@contextmanager
def compilation_cache() -> Iterator[None]:
    """Keeps compiled programs within the `with` block; not where that is impossible, with a warning."""
    folder = default_cache_folder() / "programs"
    try:
        cache = CompilationCache(folder)
    except OSError as error:
        _log.warning(
            "compiled programs are not kept: %s cannot be used (%s); set SIMPLEXITY_CACHE", folder, error.strerror
        )
        yield
        return
    with jax_uses(cache) as is_used:
        if not is_used:
            _log.warning(
                "compiled programs are not kept: this version of JAX, %s, takes no cache of ours", jax.__version__
            )
        yield
