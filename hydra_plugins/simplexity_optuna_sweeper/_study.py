"""A study of Optuna that may be stored for later searches to continue, and what is kept with each of its trials."""

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, check_distribution_compatibility
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from simplexity.composition import ConfigError, Problem
from simplexity.runs import RunDirectory, is_alive, is_there
from simplexity.sweeps import SweepDirectory

from ._sampler import NumberedSampler

if TYPE_CHECKING:
    from optuna import Study

LOCK_NAME = "search"
"""Folder, within the sweep's, of the lock that a search holds until it ends."""
FACTS_KEY = "simplexity"
"""Name of the user attribute in which a trial keeps its `TrialFacts`."""


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
