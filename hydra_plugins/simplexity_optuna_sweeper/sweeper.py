"""A search for the best config: Optuna proposes, Hydra's launcher runs, the final losses come back."""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import Trial

_log = logging.getLogger(__name__)
RESULTS_NAME = "optimization_results.yaml"


class OptunaSweeper(Sweeper):
    """Searches with Optuna's tree-structured Parzen estimator.

    Args:
        n_trials: Runs in all.
        n_jobs: Runs that the launcher is given at a time. More of them use more machines and know less of each other.
        direction: Whether the final loss is minimized or maximized.
        seed: Seed of the search; None for a different one each time.
        storage: Where the study is kept: None for memory, a file for Optuna's journal, or a URL of a database.
        study_name: Name of the study; a stored one goes on.
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
            ValueError: If there is nothing to search over, or a sweep has no counterpart in Optuna.
            RuntimeError: If every run failed.
        """
        # Optuna takes most of a second to import, and Hydra imports this module at every start to find its plugins.
        from ._search_space import search_space

        overrides = self._overrides(arguments)
        space = search_space(overrides)
        if not space:
            raise ValueError("`hydra.sweeper.params`: there is nothing to search over; give a key=interval(low, high)")
        fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
        sweep_dir = Path(self._config.hydra.sweep.dir)
        sweep_dir.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self._config, sweep_dir / "multirun.yaml")
        study = self._make_study()
        runs: dict[int, int] = {}
        while len(runs) < self._n_trials:
            trials = [study.ask(space) for _ in range(min(self._n_jobs, self._n_trials - len(runs)))]
            first = len(runs)
            self._run(study, trials, fixed, first)
            runs |= {trial.number: first + index for index, trial in enumerate(trials)}
        return self._report(study, runs, sweep_dir)

    def _overrides(self, arguments: Sequence[str]) -> list[Override]:
        parser = OverridesParser.create(config_loader=self._config_loader)
        lines = [f"{key}={value}" for key, value in self._params.items() if value is not None]
        latest = {override.get_key_element(): override for override in parser.parse_overrides([*lines, *arguments])}
        return list(latest.values())

    def _make_study(self) -> "Study":
        import optuna

        # Its messages name trials, not runs; ours say what matters.
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.create_study(
            storage=_storage(self._storage),
            sampler=optuna.samplers.TPESampler(seed=self._seed),
            study_name=self._study_name,
            direction=self._direction,
            load_if_exists=self._study_name is not None,
        )

    def _run(self, study: "Study", trials: Sequence["Trial"], fixed: Sequence[str], first: int) -> None:
        """Launches one batch and tells the study what came of it."""
        from optuna.trial import TrialState

        from ._search_space import as_override

        batch = [[*fixed, *(as_override(key, value) for key, value in trial.params.items())] for trial in trials]
        self.validate_batch_is_legal(batch)
        results = self._launcher.launch(batch, initial_job_idx=first)
        for index, (trial, result) in enumerate(zip(trials, results, strict=True), start=first):
            loss = _final_loss(result)
            if loss is None:
                study.tell(trial, state=TrialState.FAIL)
                _log.warning("run %d failed: %s", index, _reason(result))
            else:
                study.tell(trial, loss)
                _log.info("run %d: final loss %.6f, best so far %.6f", index, loss, study.best_value)

    def _report(self, study: "Study", runs: Mapping[int, int], sweep_dir: Path) -> dict[str, Any]:
        from optuna.trial import TrialState

        trials = [trial for trial in study.get_trials(deepcopy=False) if trial.number in runs]
        failed = [runs[trial.number] for trial in trials if trial.state != TrialState.COMPLETE]
        if len(failed) == len(trials):
            raise RuntimeError(f"all {len(trials)} runs of the search failed; see the logs in {sweep_dir}")
        best = study.best_trial
        results = {
            "best_loss": best.value,
            # None: the best of a stored study may be a run of an earlier search.
            "best_run": runs.get(best.number),
            "best_params": _numbers(best.params),
            "num_runs": len(trials),
            "failed_runs": failed,
        }
        OmegaConf.save(OmegaConf.create(results), sweep_dir / RESULTS_NAME)
        chosen = " ".join(f"{key}={value}" for key, value in best.params.items())
        where = f" in {sweep_dir / str(results['best_run'])}" if results["best_run"] is not None else ""
        _log.info("best of %d runs%s: final loss %.6f with %s", len(trials), where, best.value, chosen)
        return results


def _storage(storage: str | None) -> "BaseStorage | str | None":
    if storage is None or "://" in storage:
        return storage
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(storage))


def _final_loss(result: JobReturn) -> float | None:
    """The loss that a run returned, or None if it failed."""
    if result.status != JobStatus.COMPLETED:
        return None
    loss = result.return_value
    return float(loss) if isinstance(loss, int | float) and math.isfinite(loss) else None


def _reason(result: JobReturn) -> str:
    # Asking a failed run for its return value raises what the run raised, and prints.
    value = result._return_value  # pyright: ignore[reportPrivateUsage]
    return str(value) if isinstance(value, Exception) else f"its final loss is {value}"


def _numbers(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as YAML values: a category is the text of an override, `64` as well as `adam`."""
    parser = OverridesParser.create()
    return {
        key: parser.parse_override(f"key={value}").value() if isinstance(value, str) else value
        for key, value in params.items()
    }
