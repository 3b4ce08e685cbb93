"""Compiles a run's programs while the run gets everything else ready, and keeps compiled programs for later starts."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from simplexity.host import CompilationCache, default_cache_folder
from simplexity.training import (
    ChunkLength,
    DataParallel,
    PackMember,
    Preemption,
    RunState,
    TrainState,
    TrainSteps,
    Validation,
    ValidationArguments,
    ValidationMetrics,
    ValidationSettings,
    make_score,
    make_step_function,
    run_keys,
    step_compiler_options,
)

from ._build import Experiment
from ._kept_programs import kept_program, structure_of
from ._memory import require_memory
from ._packs import Place
from ._private_jax import jax_uses
from ._process_arguments import as_argument
from ._program import Lowerable
from ._saved_programs import saved_program

_log = logging.getLogger("simplexity")
_POLL_S = 0.05
_VALIDATION_NEEDS = "validation takes", "choose a smaller `validation.batch_size`"

_Validate = Callable[[RunState, Callable[[], bool]], ValidationMetrics | None]


class Programs(NamedTuple):
    """Compiled for the shapes of one run.

    Attributes:
        train_steps: Takes the run's steps.
        chunk: Chooses how many of them a call has; None if the run does so itself.
        validation: Validates its models; None if it does not. Its program may still be compiled.
    """

    train_steps: TrainSteps
    chunk: ChunkLength | None
    validation: "BackgroundValidation | None"


class BackgroundCompilation:
    """Compiles in a thread: XLA lets other threads run, and a signal be seen, while it works.

    A run takes its first steps once it can. Its validation, which comes later, is compiled beside them.

    Args:
        experiment: What to compile.
        state: A state of the run's shapes; its values are not used.
        parallel: The devices to train on; None for one.
        validates: Whether this process validates, if the run does.
        place: The run's place in the packs of its worker; None for a run that takes its steps alone.
    """

    def __init__(
        self,
        experiment: Experiment,
        state: TrainState,
        parallel: DataParallel | None = None,
        validates: bool = True,
        place: Place | None = None,
    ):
        self._programs: Programs | None = None
        self._error: BaseException | None = None
        self._parallel = parallel
        self._validates = validates
        self._place = place
        self._can_train = threading.Event()
        # A daemon, because a process in which a stop was requested does not wait for it.
        self._thread = threading.Thread(target=self._compile, args=(experiment, state), daemon=True)
        self._thread.start()

    def wait(self, preemption: Preemption) -> Programs | None:
        """The programs, or None as soon as `preemption` knows of a request to stop."""
        while not self._can_train.wait(_POLL_S):
            if preemption.requested():
                return None
        if self._error is not None:
            raise self._error
        return self._programs

    def _compile(self, experiment: Experiment, state: TrainState) -> None:
        validation = None
        if self._validates and experiment.validation is not None:
            validation = BackgroundValidation(experiment.validation)
        try:
            if self._place is not None and self._parallel is None:
                member = self._member(experiment, state, self._place)
                if validation is not None:
                    # Before its own steps: a member is ready to take them once it can be validated.
                    validation.compile(partial(_validation_in_pack, experiment, state, member))
                    validation.require()
                self._programs = Programs(member, member, validation)
            else:
                self._programs = Programs(self._train_steps(experiment, state), None, validation)
        except BaseException as error:
            self._error = error
        finally:
            self._can_train.set()
        if self._error is None and validation is not None:
            validation.compile(partial(_validation, experiment, state))

    def _member(self, experiment: Experiment, state: TrainState, place: Place) -> PackMember:
        arguments = experiment.step_arguments()
        return place.join(
            (experiment.constants, structure_of((arguments, state))),
            lambda: make_step_function(experiment.optimizer.make, experiment.settings),
            arguments,
            state,
            step_compiler_options(experiment.settings, state.model),
        )

    def _train_steps(self, experiment: Experiment, state: TrainState) -> TrainSteps:
        parallel = self._parallel
        of_all_steps = experiment.step_arguments()
        arguments = (of_all_steps, state, jax.device_put(np.int32(0)))

        def compiled() -> Any:
            train_steps = make_step_function(experiment.optimizer.make, experiment.settings, parallel)
            options = step_compiler_options(experiment.settings, state.model, parallel)
            program = Lowerable(train_steps, donated=1, compiler_options=options)
            lowered = program.lower(*arguments) if parallel is None else parallel.lower(program, *arguments)
            return lowered.compile()

        devices = None if parallel is None else parallel.devices
        key = ("training steps", experiment.constants, devices, structure_of(arguments))
        program = kept_program(key, lambda: saved_program(key, compiled, devices))
        require_memory(program, "a training step takes")
        if parallel is not None:
            return partial(parallel.on_first_device(program), of_all_steps)
        return lambda state, num_steps: program(of_all_steps, state, jax.device_put(np.int32(num_steps)))


class BackgroundValidation:
    """A validation that a thread makes ready.

    Args:
        settings: Its settings.
    """

    def __init__(self, settings: ValidationSettings):
        self.settings = settings
        self._made: Future[_Validate] = Future()

    def compile(self, make: Callable[[], _Validate]) -> None:
        """Makes it ready by `make`, unless it is. What that raises is raised by `require`, and where it is called."""
        if self._made.done():
            return
        try:
            self._made.set_result(make())
        except BaseException as error:
            self._made.set_exception(error)

    def require(self) -> None:
        """Raises what kept it from being made ready, if anything has."""
        if self._made.done():
            self._made.result()

    def __call__(self, state: RunState, interrupted: Callable[[], bool] = lambda: False) -> ValidationMetrics | None:
        """Validates the model of a state, as soon as the program is compiled; None if it was interrupted."""
        while not self._made.done():
            if interrupted():
                return None
            wait([self._made], _POLL_S)
        return self._made.result()(state, interrupted)

    def checked_before(self, train_steps: TrainSteps) -> TrainSteps:
        """`train_steps` that raise if the program cannot be compiled: a run must not find that out hours later."""

        def checked(state: Any, num_steps: int) -> RunState:
            self.require()
            return train_steps(state, num_steps)

        return checked


def _validation(experiment: Experiment, state: TrainState) -> Validation:
    """The run may have donated the arrays of `state` meanwhile: only their shapes and types are looked at."""
    settings, length = _validation_settings(experiment)
    generator, key = _validation_arguments(experiment)
    arguments = (generator, state.model, key, jax.device_put(np.int32(0)))
    program_key = ("validation", settings.batch_size, length, experiment.model.text, structure_of(arguments))
    program = Lowerable(make_score(settings.batch_size, length).__wrapped__)  # pyright: ignore
    score = kept_program(program_key, lambda: saved_program(program_key, lambda: program.lower(*arguments).compile()))
    require_memory(score, *_VALIDATION_NEEDS)
    return Validation(generator, settings, length, key=key, score=score)


def _validation_in_pack(experiment: Experiment, state: TrainState, member: PackMember) -> _Validate:
    settings, length = _validation_settings(experiment)
    arguments = _validation_arguments(experiment)
    key = ("validation", settings.batch_size, length, experiment.model.text, structure_of((arguments, state)))

    def kept(size: int, compiled: Callable[[], Any]) -> Any:
        program = kept_program(("pack", size, key), compiled)
        require_memory(program, *_VALIDATION_NEEDS)
        return program

    score = make_score(settings.batch_size, length)
    return member.validation(key, score, arguments, state, settings.num_batches, kept)


def _validation_settings(experiment: Experiment) -> tuple[ValidationSettings, int]:
    """The settings, and the length of the sequences."""
    assert experiment.validation is not None
    return experiment.validation, experiment.settings.sequence_len


def _validation_arguments(experiment: Experiment) -> ValidationArguments:
    key = jax.jit(run_keys)(np.uint32(experiment.seed)).validation
    return ValidationArguments(as_argument(experiment.validation_generator), key)


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
