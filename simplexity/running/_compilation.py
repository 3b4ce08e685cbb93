"""Compiles a run's programs while the run gets everything else ready."""

import threading
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from simplexity.training import DataParallel, Preemption, TrainState, TrainSteps, Validation, make_train_steps, run_keys

from ._build import Experiment

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
        # A daemon, because a process that is asked to leave does not wait for it.
        self._thread = threading.Thread(target=self._compile, args=(experiment, state), daemon=True)
        self._thread.start()

    def wait(self, preemption: Preemption) -> Programs | None:
        """The programs, or None as soon as `preemption` asks to leave."""
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
            if self._parallel is None:
                compiled = program.lower(*arguments).compile()  # pyright: ignore
            else:
                compiled = self._parallel.compile(program, *arguments)
            validation = self._compiled_validation(experiment, state) if self._validates else None
            self._programs = Programs(partial(compiled, optimizer.hyperparameters), validation)
        except BaseException as error:
            self._error = error

    @staticmethod
    def _compiled_validation(experiment: Experiment, state: TrainState) -> Validation | None:
        if experiment.validation is None:
            return None
        key = run_keys(experiment.seed).validation
        settings, length = experiment.validation, experiment.settings.sequence_len
        validation = Validation(experiment.validation_generator, settings, length, key=key)
        validation.compile(state.model)
        return validation
