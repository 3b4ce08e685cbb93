"""New trials of a study that other searches may share, such that no config is run twice."""

import datetime
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import Trial, TrialState

from ._sampler import NumberedSampler
from ._study import facts_of

if TYPE_CHECKING:
    from optuna import Study

_log = logging.getLogger(__name__)
# Of a finite space that other searches have half taken, so many random draws miss the other half once in a billion.
_MOST_PROPOSALS = 30
# A search needs well below a second from a new trial to its facts.
_FACTS_POLL_S, _FACTS_LIMIT_S = 0.05, 5.0
_BEING_PROPOSED = datetime.timedelta(minutes=1)


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
