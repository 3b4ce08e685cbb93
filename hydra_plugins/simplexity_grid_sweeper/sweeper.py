from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class GridSweeper(Sweeper):
    """Launches every combination of the values that overrides list; without any, one run.

    Hydra's own composes each run once more than its launcher does, which takes minutes for a thousand, writes into
    the sweep's folder before the runs are checked, and lets a failed run keep the later batches from being launched.

    Args:
        max_batch_size: Runs that the launcher gets at a time; None for all.
        params: Keys and what to sweep over, in Hydra's syntax; the command line replaces entries of the same key, and
            null takes one out.

    Raises:
        ValueError: If `max_batch_size` is less than 1.
    """

    def __init__(self, max_batch_size: int | None, params: Mapping[str, str | None] | None):
        if max_batch_size is not None and max_batch_size < 1:
            raise ValueError(f"`max_batch_size` must be at least 1, or null, got {max_batch_size}")
        self._max_batch_size = max_batch_size
        self._params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self._loader = hydra_context.config_loader
        self._launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Sequence[JobReturn]:
        """Launches the runs.

        Args:
            arguments: The command line's overrides.

        Raises:
            RuntimeError: If a run failed, after all have ended.
        """
        lines = [f"{key}={value}" for key, value in self._params.items() if value is not None]
        parser = OverridesParser.create(config_loader=self._loader)
        overrides = parser.parse_overrides([*lines, *arguments])
        returns: list[JobReturn] = []
        launched = 0
        for batch in BasicSweeper.split_arguments(overrides, self._max_batch_size):
            # A launcher that does not wait returns nothing.
            returns += self._launcher.launch(batch, initial_job_idx=launched)
            launched += len(batch)
        failed: Any = next((one for one in returns if one.status == JobStatus.FAILED), None)
        if failed is not None:
            _ = failed.return_value  # raises
        return returns
