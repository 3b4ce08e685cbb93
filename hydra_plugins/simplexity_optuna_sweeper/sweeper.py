"""A search for the best config: Optuna proposes, Hydra's launcher runs, the final losses come back."""

import logging
import math
import shlex
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_plugins.simplexity_launcher import returned

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_log = logging.getLogger(__name__)
RESULTS_NAME = "optimization_results.yaml"


class OptunaSweeper(Sweeper):
    """Searches with Optuna's tree-structured Parzen estimator.

    Args:
        n_trials: Trials in this folder, in all. One whose config was run before takes the loss of that run.
        n_jobs: Runs that the launcher is given at a time. More of them use more machines and know less of each other.
        direction: Whether the final loss is minimized or maximized.
        seed: Seed of the search; None for a different one each time.
        storage: Where the study is kept: None for memory, a file for Optuna's journal, or a URL of a database.
        study_name: Name of the study; a stored one is continued, with the results of every search of it.
        params: Keys and what to search over, in Hydra's sweep syntax; a null takes its key out of the search.

    Raises:
        ValueError: If a number or the direction is out of its domain.
    """

    def __init__(
        self,
        n_trials: int,
        n_jobs: int,
        direction: Literal["minimize", "maximize"],
        seed: int | None,
        storage: str | None,
        study_name: str | None,
        params: Mapping[str, str | None] | None,
    ):
        for name, value in (("n_trials", n_trials), ("n_jobs", n_jobs)):
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}")
        if direction not in ("minimize", "maximize"):
            raise ValueError(f"`direction` must be minimize or maximize, got {direction}")
        self._n_trials = n_trials
        self._n_jobs = n_jobs
        self._direction: Literal["minimize", "maximize"] = direction
        self._seed = seed
        self._storage = storage
        self._study_name = study_name
        self._params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.hydra_context = hydra_context
        self.config = self._config = config
        self._config_loader = hydra_context.config_loader
        self._launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> dict[str, Any]:
        """Runs the trials and writes the best of them into the sweep's directory.

        Args:
            arguments: The command line's overrides: those that sweep join the search, replacing a parameter of the
                same key; the others are passed to every run.

        Returns:
            What the results file holds.

        Raises:
            ConfigError: If there is nothing to search over, a sweep has no counterpart in Optuna, or the storage holds
                another study.
            RuntimeError: If every run failed, or another search has the folder.
        """
        # Optuna takes most of a second to import, and Hydra imports this module at every start to find its plugins.
        from simplexity.composition import ConfigError, Problem
        from simplexity.runs import RunLock

        from ._search_space import search_space
        from ._study import LOCK_NAME, close_dead_trials, open_study

        overrides = self._overrides(arguments)
        try:
            space = search_space(overrides)
        except ValueError as error:
            raise ConfigError([Problem("hydra.sweeper.params", str(error))]) from error
        if not space:
            message = "there is nothing to search over; give a key=interval(low, high)"
            raise ConfigError([Problem("hydra.sweeper.params", message)])
        self._space = space
        self._fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
        self._folder = Path(self._config.hydra.sweep.dir).absolute()
        self._study = open_study(self._storage, self._study_name, self._direction, self._seed, space)
        self._folder.mkdir(parents=True, exist_ok=True)
        with RunLock(self._folder / LOCK_NAME):
            OmegaConf.save(self._config, self._folder / "multirun.yaml")
            close_dead_trials(self._study, self._folder)
            self._search()
        return self._report()

    def _overrides(self, arguments: Sequence[str]) -> list[Override]:
        parser = OverridesParser.create(config_loader=self._config_loader)
        lines = [f"{key}={value}" for key, value in self._params.items() if value is not None]
        latest = {override.get_key_element(): override for override in parser.parse_overrides([*lines, *arguments])}
        return list(latest.values())

    def _search(self) -> None:
        """Continues the trials that an earlier search in this folder has not finished, and then proposes new ones."""
        from optuna.trial import TrialState

        from ._study import trials_of

        trials = [trial for trial in trials_of(self._study, self._folder) if trial.state == TrialState.RUNNING]
        while trials or (missing := self._n_trials - len(trials_of(self._study, self._folder))) > 0:
            self._run(trials or self._propose(min(self._n_jobs, missing)))
            trials = []

    def _propose(self, size: int) -> "list[FrozenTrial]":
        """New trials, with a run for each config that no earlier one has: an equal run would have the same loss."""
        from ._proposals import known_loss, propose
        from ._study import FACTS_KEY, TrialFacts, facts_of, trials_of

        runs = [facts_of(trial).run for trial in trials_of(self._study, self._folder)]
        next_run = max((run for run in runs if run is not None), default=-1) + 1
        numbers: list[int] = []
        planned: set[str | None] = set()
        for _ in range(size):
            trial, config = propose(self._study, self._space, self._config_hash, self._seed, self._folder)
            repeats = config is not None and (config in planned or known_loss(self._study, config) is not None)
            facts = TrialFacts(str(self._folder), socket.gethostname(), None if repeats else next_run, config)
            trial.set_user_attr(FACTS_KEY, facts._asdict())
            next_run += not repeats
            planned.add(config)
            numbers.append(trial.number)
        return [trial for trial in trials_of(self._study, self._folder) if trial.number in numbers]

    def _run(self, trials: "Sequence[FrozenTrial]") -> None:
        """Launches the runs of a batch, and reports the loss of each trial to the study."""
        from ._proposals import known_loss
        from ._study import facts_of

        launched = [trial for trial in trials if facts_of(trial).run is not None]
        if launched:
            batch = [self._run_overrides(trial.params) for trial in launched]
            self.validate_batch_is_legal(batch)
            results = self._launcher.launch(batch, initial_job_idx=facts_of(launched[0]).run or 0)
            for trial, result in zip(launched, results, strict=True):
                self._record(trial, _final_loss(result), f"run {facts_of(trial).run}", _reason(result))
        for trial in trials:
            if trial not in launched:
                loss = known_loss(self._study, facts_of(trial).config)
                self._record(trial, loss, "the config of an earlier run", "that run failed")

    def _record(self, trial: "FrozenTrial", loss: float | None, what: str, reason: str) -> None:
        from optuna.trial import TrialState

        from ._study import trials_of

        numbers = [one.number for one in trials_of(self._study, self._folder)]
        heading = f"trial {numbers.index(trial.number) + 1} of {max(self._n_trials, len(numbers))}, {what}"
        if loss is None:
            self._study.tell(trial.number, state=TrialState.FAIL)
            _log.warning("%s: failed: %s", heading, reason)
        else:
            self._study.tell(trial.number, loss)
            _log.info("%s: final loss %.6f, best so far %.6f", heading, loss, self._study.best_value)

    def _run_overrides(self, params: Mapping[str, Any]) -> list[str]:
        from ._search_space import as_override

        return [*self._fixed, *(as_override(key, value) for key, value in params.items())]

    def _config_hash(self, params: Mapping[str, Any]) -> str | None:
        """The hash of a run's config; None if it depends on the run's number or cannot be composed."""
        from simplexity.composition import config_hash

        try:
            return config_hash(self._config_loader.load_sweep_config(self._config, self._run_overrides(params)))
        except (HydraException, OmegaConfBaseException, ValueError):
            return None

    def _report(self) -> dict[str, Any]:
        from optuna.trial import TrialState

        from simplexity.runs import counted
        from simplexity.sweeps import display_path

        from ._study import facts_of, trials_of

        trials = trials_of(self._study, self._folder)
        runs = [trial for trial in trials if facts_of(trial).run is not None]
        failed = [facts_of(trial).run for trial in runs if trial.state != TrialState.COMPLETE]
        if not any(trial.state == TrialState.COMPLETE for trial in trials):
            raise RuntimeError(f"every run of the search failed; see the logs in {self._folder}")
        # The first of equals, and so a run: those that reuse its loss come later.
        best = self._study.best_trial
        facts = facts_of(best)
        results = {
            "best_loss": best.value,
            # None: the best of a stored study may be a run of another search.
            "best_run": facts.run if facts.sweep == str(self._folder) else None,
            "best_params": _numbers(best.params),
            "num_runs": len(runs),
            "failed_runs": failed,
            "num_reused": len(trials) - len(runs),
        }
        OmegaConf.save(OmegaConf.create(results), self._folder / RESULTS_NAME)
        chosen = " ".join(f"{key}={value}" for key, value in best.params.items())
        where = "" if facts.run is None else f", in {Path(str(facts.sweep), str(facts.run))}"
        reused = f" ({len(trials) - len(runs)} reused the loss of an equal run)" if len(runs) < len(trials) else ""
        _log.info(
            "best of %s%s%s: final loss %.6f with %s", counted(len(trials), "trial"), reused, where, best.value, chosen
        )
        _log.info("to see all results: simplexity results %s", shlex.quote(display_path(self._folder)))
        return results


def _final_loss(result: JobReturn) -> float | None:
    """The loss that a run returned, or None if it failed."""
    if result.status != JobStatus.COMPLETED:
        return None
    loss = result.return_value
    return float(loss) if isinstance(loss, int | float) and math.isfinite(loss) else None


def _reason(result: JobReturn) -> str:
    value = returned(result)
    return str(value) if isinstance(value, Exception) else f"its final loss is {value}"


def _numbers(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as YAML values: a category is the text of an override, `64` as well as `adam`."""
    parser = OverridesParser.create()
    return {
        key: parser.parse_override(f"key={value}").value() if isinstance(value, str) else value
        for key, value in params.items()
    }
