"""A study of Optuna that may be stored: later searches continue its proposals, and reuse the losses of its runs."""

import datetime
import logging
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from simplexity.composition import ConfigError, Problem
from simplexity.runs import RunDirectory, is_alive, is_there
from simplexity.sweeps import SweepDirectory

if TYPE_CHECKING:
    from optuna import Study

_log = logging.getLogger(__name__)
LOCK_NAME = "search"
"""Folder, within the sweep's, of the lock that a search holds until it ends."""
FACTS_KEY = "simplexity"
"""Name of the user attribute in which a trial keeps its `TrialFacts`."""
# Of a finite space that other searches have half taken, so many random draws miss the other half once in a billion.
_MOST_PROPOSALS = 30
# A search needs well below a second from a new trial to its facts.
_FACTS_POLL_S, _FACTS_LIMIT_S = 0.05, 5.0
_BEING_PROPOSED = datetime.timedelta(minutes=1)


class TrialFacts(NamedTuple):
    """What is kept with a trial.

    Attributes:
        sweep: Absolute path of its sweep's folder; None if no search of ours has made it.
        host: The machine that the search ran on.
        run: The run's index in the sweep; None where the loss of another run is reused.
        config: Hash of the run's config; None if that was not known.
    """

    sweep: str | None = None
    host: str | None = None
    run: int | None = None
    config: str | None = None


class NumberedSampler(BaseSampler):
    """A sampler of Optuna whose draws depend on the seed, the trial's number and the trials before it.

    So a search that is continued proposes what an uninterrupted one would have, and two that share a study never
    draw the same numbers.

    Args:
        seed: Seed of the search; None for a different one each time.
        kind: The sampler. A tree-structured Parzen estimator counts running trials as bad
            ones, and so keeps away from what other searches are about (Optuna's `constant_liar`).
    """

    def __init__(self, seed: int | None, kind: type[TPESampler] | type[RandomSampler] = TPESampler):
        self._seed = seed
        self._kind = kind
        self._sampler = kind(seed=seed)

    def before_trial(self, study: "Study", trial: FrozenTrial) -> None:
        if self._seed is not None:
            drawn = np.random.SeedSequence([self._seed, trial.number]).generate_state(1)
            self._sampler = self._kind(seed=int(drawn[0]))
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: "Study", trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: "Study", trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: "Study", trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)


def open_study(
    storage: str | None,
    name: str | None,
    direction: Literal["minimize", "maximize"],
    seed: int | None,
    space: Mapping[str, BaseDistribution],
) -> "Study":
    """The stored study of that name, or a new one.

    Args:
        storage: A file for Optuna's journal, or a URL of a database; None for memory.
        name: The study's name; None for a new one.
        direction: "minimize" or "maximize".
        seed: Of the search.
        space: What is searched over.

    Raises:
        ConfigError: If the storage cannot be used, or the stored study is another one.
    """
    # Optuna's own messages name trials, and not runs: the sweeper prints its own.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=_opened(storage),
            sampler=NumberedSampler(seed),
            study_name=name,
            direction=direction,
            load_if_exists=name is not None,
        )
    except Exception as error:  # the errors of databases and their drivers have no common base
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"cannot be opened: {reason}; give a file in an existing folder, or a URL such as sqlite:///study.db"
        raise ConfigError([Problem("hydra.sweeper.storage", message)]) from error
    _require_same(study, direction, space)
    return study


def close_dead_trials(study: "Study", own_folder: Path) -> None:
    """Ends the trials of searches that are no more: with the loss of a run that is complete, and otherwise as failed.

    Trials of searches that may be alive stay, and so do those of `own_folder`, which is to be searched on.
    """
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        facts = facts_of(trial)
        if facts.sweep in (None, str(own_folder)) or _may_be_alive(facts):
            continue
        loss = _loss_on_disk(facts)
        state = TrialState.FAIL if loss is None else TrialState.COMPLETE
        study.tell(trial.number, loss, state=state, skip_if_finished=True)


def propose(
    study: "Study",
    space: Mapping[str, BaseDistribution],
    config_of: Callable[[Mapping[str, Any]], str | None],
    seed: int | None,
    own_folder: Path,
) -> tuple[Trial, str | None]:
    """A new trial and the hash of its config, which no other search of the study is running if another one is found.

    Of two searches that propose the same config at the same time, the one whose trial has the higher number proposes
    again, at random; its first trial is closed as failed. The caller adds the facts to the trial at once.

    Args:
        study: The study.
        space: What is searched over.
        config_of: The hash of the config of some parameters; None if it is not known.
        seed: Of the search.
        own_folder: Folder of this search, whose own running trials are not looked at.
    """
    sampler = study.sampler
    try:
        for _ in range(_MOST_PROPOSALS):
            trial = study.ask(dict(space))
            config = config_of(trial.params)
            if config is None or not _runs_elsewhere(study, config, trial.number, own_folder):
                return trial, config
            study.tell(trial.number, state=TrialState.FAIL)
            study.sampler = NumberedSampler(seed, RandomSampler)
    finally:
        study.sampler = sampler
    _log.warning("other searches of this study run all configs that were proposed; the next run may repeat one of them")
    trial = study.ask(dict(space))
    return trial, config_of(trial.params)


def _runs_elsewhere(study: "Study", config: str, number: int, own_folder: Path) -> bool:
    """Whether a running trial below `number` of another search has this config."""
    end = time.monotonic() + _FACTS_LIMIT_S
    while True:
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        lower = [trial for trial in running if trial.number < number]
        if any(facts_of(one).config == config and facts_of(one).sweep != str(own_folder) for one in lower):
            return True
        # Another search may be between making its trial and adding the facts. One that died there is not waited for.
        since = datetime.datetime.now() - _BEING_PROPOSED
        started = [one for one in lower if one.datetime_start is not None and one.datetime_start > since]
        if all(facts_of(one).sweep is not None for one in started) or time.monotonic() > end:
            return False
        time.sleep(_FACTS_POLL_S)


def known_loss(study: "Study", config: str | None) -> float | None:
    """The loss of a run of this config that some search of the study has completed; None if there is none."""
    if config is None:
        return None
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        if facts_of(trial).config == config:
            return trial.value
    return None


def trials_of(study: "Study", folder: Path) -> list[FrozenTrial]:
    """The trials of the searches in one folder, which follow each other."""
    return [trial for trial in study.get_trials(deepcopy=False) if facts_of(trial).sweep == str(folder)]


def facts_of(trial: FrozenTrial) -> TrialFacts:
    """What a search has kept with one of its trials."""
    return TrialFacts(**trial.user_attrs.get(FACTS_KEY, {}))


def _opened(storage: str | None) -> BaseStorage | str | None:
    if storage is None or "://" in storage:
        return storage
    return JournalStorage(JournalFileBackend(storage))


def _require_same(study: "Study", direction: str, space: Mapping[str, BaseDistribution]) -> None:
    remedy = "or choose another `hydra.sweeper.study_name`"
    stored = " and ".join(one.name.lower() for one in study.directions)
    if stored != direction:
        message = f"must be {stored}, as in the stored study '{study.study_name}', got {direction}; set that, {remedy}"
        raise ConfigError([Problem("hydra.sweeper.direction", message)])
    problems: dict[str, Problem] = {}
    for trial in study.get_trials(deepcopy=False):
        for key in set(trial.distributions) & set(space):
            try:
                check_distribution_compatibility(trial.distributions[key], space[key])
            except ValueError:
                message = (
                    f"the stored study '{study.study_name}' has searched over {_words(trial.distributions[key])}, "
                    f"got {_words(space[key])}; give the same kind of values, {remedy}"
                )
                problems[key] = Problem(key, message)
    if problems:
        raise ConfigError(list(problems.values()))


def _words(distribution: BaseDistribution) -> str:
    facts = distribution._asdict()
    if "choices" in facts:
        return f"choice({', '.join(map(str, facts['choices']))})"
    return f"{facts['low']:g} to {facts['high']:g}{', logarithmic' if facts['log'] else ''}"


def _may_be_alive(facts: TrialFacts) -> bool:
    folder = Path(str(facts.sweep))
    if not is_there(folder):
        # The folder may be on another machine's own disk, and its search alive there.
        return facts.host != socket.gethostname()
    return is_alive(folder / LOCK_NAME)


def _loss_on_disk(facts: TrialFacts) -> float | None:
    """The loss of a run that outlived its search, if it is complete."""
    if facts.run is None:
        return None
    sweep = SweepDirectory(Path(str(facts.sweep)))
    try:
        directory = sweep.run_directory(sweep.read_run(facts.run))
    except (OSError, RuntimeError, ValueError):
        # Hydra's own launcher writes no manifest.
        directory = RunDirectory(sweep.path / str(facts.run))
    try:
        completion = directory.read_completion()
    except (OSError, RuntimeError):
        return None
    return None if completion is None else completion.loss_nats
