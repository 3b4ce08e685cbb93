"""One attempt at a run: trains from where the run's folder is to the end, or until a stop is requested."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from omegaconf import DictConfig, OmegaConf

from simplexity.composition import instantiate
from simplexity.host import PreemptionGuard
from simplexity.loggers import CompositeLogger, Logger, RunFacts
from simplexity.persistence import SnapshotSchedule, SnapshotWriter, load_orbax
from simplexity.runs import Ledger, RunDirectory, RunLock
from simplexity.training import NotFiniteError, Optima, RunMetrics, StepObserver, TrainSteps, train

from ._analysis import Analysis
from ._announcements import announce_end
from ._assembly import Assembly, assemble
from ._build import Experiment
from ._checkpointers import Checkpoints
from ._compilation import Programs, compilation_cache
from ._coordinator import Coordinator
from ._figures import draw_figures, wants_figures
from ._lost_outputs import write_lost_outputs
from ._memory import out_of_memory_in_one_line
from ._on_complete import on_complete, remove_the_rest, remove_unneeded
from ._optima import optima_of
from ._outcome import RunResult, describe_not_finite, record_stop
from ._packs import Place
from ._records import FirstStepLogger, ScoreLogger, elapsed_s, record_completion, record_resume


def attempt(
    directory: RunDirectory,
    config: DictConfig,
    ledger: Ledger,
    lock: RunLock,
    guard: PreemptionGuard,
    built: Experiment | None = None,
    place: Place | None = None,
) -> RunResult:
    """Runs until the run is complete or `guard` knows of a request to stop.

    Args:
        directory: The run's.
        config: The frozen one.
        ledger: The run's.
        lock: Held.
        guard: Installed.
        built: What was built from `config`; None to build it here.
        place: The run's place in the packs of its worker; None for a run that takes its steps alone.

    Raises:
        ConfigError: If the config cannot be built, or the checkpoints are not of this config.
        RuntimeError: If the loss is not finite, a file cannot be read or written, all checkpoints are gone, or the
            memory is too small.
    """
    with compilation_cache(), out_of_memory_in_one_line():
        run = assemble(directory, config, ledger, lock, guard, built, place)
        try:
            if run.programs is None:
                return record_stop(ledger, guard, int(run.state.step), saves=guard.saves)
            beside = _BesideTraining(run.experiment, directory, saves=guard.saves)
            directory.unmark_complete(lock.require_held)
            snapshots = _snapshots(directory, config, lock)
            logger = _logger(directory, config, FirstStepLogger(ledger, beside.start), lock, run.checkpoints)
            try:
                logger.start(_facts(run))
                settings = run.experiment.settings
                analysis = _analysis(directory, run.experiment, lock, saves=guard.saves)
                if run.is_resumed:
                    step, shapes = int(run.state.step), run.experiment.model_shapes()
                    requested = run.coordinator.requested
                    lost = write_lost_outputs(directory, step, shapes, snapshots, analysis, requested)
                    record_resume(directory, ledger, run.state, run.lines, lost)
                # The snapshot first, because an analysis may be interrupted.
                observers: list[StepObserver] = [each for each in (snapshots, analysis) if each is not None]
                result = train(
                    run.state,
                    _train_steps(run.programs, run.coordinator),
                    settings,
                    metrics=RunMetrics(
                        settings,
                        run.experiment.optimizer.learning_rate,
                        beside.optima,
                        elapsed_s=elapsed_s(run.lines, int(run.state.step)),
                        own=run.experiment.own_metrics,
                    ),
                    validation=run.programs.validation,
                    logger=logger,
                    checkpointer=run.checkpoints,
                    preemption=run.coordinator,
                    timed=ledger.phases.measure,
                    observers=observers,
                    after_validation=run.experiment.optimizer.after_validation,
                    chunk=run.programs.chunk,
                )
                # A figure takes seconds, and no work is lost if all is saved: the next attempt draws it.
                draws = wants_figures(config, directory)
                is_stopped = not result.finished or (draws and guard.saves and run.coordinator.requested())
                figures = draw_figures(directory) if draws and not is_stopped else []
            except NotFiniteError as error:
                raise RuntimeError(describe_not_finite(directory.path, error.step, saves=guard.saves)) from error
            finally:
                logger.close()
        finally:
            run.checkpoints.close()
    if is_stopped:
        return record_stop(ledger, guard, result.step, saves=guard.saves)
    announce_end(directory, figures, None if analysis is None else analysis.summary)
    keeps_all = on_complete(config, directory) == "keep"
    if not keeps_all:
        remove_unneeded(directory, config, result.state, lock.require_held)
    vocab_size = run.experiment.generator.vocab_size
    completed = record_completion(directory, ledger, lock, result, beside.optima(), vocab_size)
    if not keeps_all:
        remove_the_rest(directory, config, lock)
    return completed


def _train_steps(programs: Programs, coordinator: Coordinator) -> TrainSteps:
    train_steps = coordinator.in_all_processes(programs.train_steps)
    # The check comes before the other processes are told to take the steps: they would wait for this one in them.
    return train_steps if programs.validation is None else programs.validation.checked_before(train_steps)


class _BesideTraining:
    """The search for the optima and Orbax's imports, up to seconds of work, in a thread from the first step on.

    Before, they would slow what that step waits for.

    Args:
        experiment: What the run computes with.
        directory: The run's.
        saves: Whether the run has checkpoints.
    """

    def __init__(self, experiment: Experiment, directory: RunDirectory, *, saves: bool):
        self._find_optima = partial(optima_of, experiment, directory)
        self._saves = saves
        self._optima: Future[Optima] | None = None

    def start(self) -> Future[Optima]:
        """Starts the imports and then the search, unless they were started."""
        if self._optima is None:
            thread = ThreadPoolExecutor(1)
            # One after the other, Orbax first: a run that is stopped at once waits for it to save. The first logged
            # line waits for both. Imports that fail are reported by the first save, which repeats them.
            if self._saves:
                thread.submit(load_orbax)
            self._optima = thread.submit(self._find_optima)
        return self._optima

    def optima(self) -> Optima:
        """The best possible losses."""
        return self.start().result()


def _analysis(directory: RunDirectory, experiment: Experiment, lock: RunLock, *, saves: bool) -> Analysis | None:
    if experiment.analysis is None:
        return None
    return Analysis(directory, experiment, experiment.analysis, saves=saves, require_held=lock.require_held)


def _logger(
    directory: RunDirectory, config: DictConfig, first_step: FirstStepLogger, lock: RunLock, checkpoints: Checkpoints
) -> CompositeLogger:
    loggers: dict[str, Logger] = {"attempt": first_step, "score": ScoreLogger(checkpoints)}
    if config.logging.instance is not None:
        loggers["run"] = instantiate(
            config.logging.instance, run_directory=directory.path, require_held=lock.require_held
        )
    return CompositeLogger(loggers)


def _snapshots(directory: RunDirectory, config: DictConfig, lock: RunLock) -> SnapshotWriter | None:
    chosen = config.persistence.get("snapshots")
    schedule = SnapshotSchedule() if chosen is None else SnapshotSchedule(**chosen)
    if schedule.is_empty:
        return None
    model_config = OmegaConf.to_container(config.predictive_model.instance)
    last_step = config.training.num_train_steps
    snapshots = SnapshotWriter(directory.snapshots_path, schedule, last_step, model_config, lock.require_held)
    snapshots.open()
    return snapshots


def _facts(run: Assembly) -> RunFacts:
    settings = run.experiment.settings
    return RunFacts(settings.num_train_steps, int(run.state.step), settings.tokens_per_step)
