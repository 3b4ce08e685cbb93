"""The part that all launchers share: what Hydra hands over, and preparing the runs of a batch."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_loader import ConfigLoader
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

# Hydra imports the launchers at every start to find its plugins: what they need for a sweep is imported by the sweep.
if TYPE_CHECKING:
    from simplexity.host import PreemptionGuard
    from simplexity.sweeps import SweepDirectory

    from ._preparation import PreparedRun


class SweepLauncher(Launcher):
    """A launcher that composes, checks and freezes every run of a batch before the first starts."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `launch`.

        Args:
            hydra_context: Has Hydra's loader of configs.
            task_function: The program's, which is not called: each run is a process of its own.
            config: The sweep's own config.
        """
        self._config: DictConfig = config
        self._loader: ConfigLoader = hydra_context.config_loader
        self._check_settings()

    @abstractmethod
    def _check_settings(self) -> None:
        """Checks the launcher's own settings, before anything is composed.

        Raises:
            ConfigError: With all mistakes in them.
        """

    def _sweep(self) -> "SweepDirectory":
        """The sweep's folder; it need not exist."""
        from simplexity.sweeps import SweepDirectory

        return SweepDirectory(Path(self._config.hydra.sweep.dir).absolute())

    def _searches(self) -> bool:
        """Whether the sweeper launches one batch after the other, because each depends on how the last one ended."""
        return "optuna" in self._config.hydra.sweeper._target_

    def _prepare(
        self,
        job_overrides: Sequence[Sequence[str]],
        initial_job_idx: int,
        guard: "PreemptionGuard",
        num_processes: int = 1,
    ) -> "list[PreparedRun]":
        """See `prepare`, which raises a ConfigError with every mistake in any run; writes nothing."""
        from ._preparation import prepare

        return prepare(self._loader, self._config, job_overrides, initial_job_idx, guard.requested, num_processes)
