"""A sampler of Optuna whose proposals can be repeated, whichever process makes them."""

from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

if TYPE_CHECKING:
    from optuna import Study


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
