"""Compiles a run's programs while the run gets everything else ready."""

import threading
from typing import NamedTuple

import jax.numpy as jnp

from simplexity.cluster import PreemptionGuard
from simplexity.evaluation import Validation
from simplexity.training import Advance, TrainState, make_advance, run_keys

from ._build import Experiment

_POLL_S = 0.05


class Programs(NamedTuple):
    """Compiled for the shapes of one run."""

    advance: Advance
    validation: Validation | None


class BackgroundCompilation:
    """Compiles in a thread: XLA lets other threads run, and a signal be seen, while it works.

    Args:
        experiment: What to compile.
        state: A state of the run's shapes; its values are not used.
    """

    def __init__(self, experiment: Experiment, state: TrainState):
        self._programs: Programs | None = None
        self._error: BaseException | None = None
        # A daemon, because a process that is asked to leave does not wait for it.
        self._thread = threading.Thread(target=self._compile, args=(experiment, state), daemon=True)
        self._thread.start()

    def wait(self, guard: PreemptionGuard) -> Programs | None:
        """The programs, or None as soon as `guard` asks to leave."""
        while self._thread.is_alive():
            if guard.requested():
                return None
            self._thread.join(_POLL_S)
        if self._error is not None:
            raise self._error
        return self._programs

    def _compile(self, experiment: Experiment, state: TrainState) -> None:
        try:
            advance = make_advance(experiment.generator, experiment.optimizer, experiment.settings)
            compiled = advance.lower(state, jnp.zeros((), jnp.int32)).compile()  # pyright: ignore
            self._programs = Programs(compiled, self._compiled_validation(experiment, state))
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
