"""A sweep over a grid: every combination of the values that overrides list, in batches for the launcher."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
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
        zip: Groups of keys that are swept over together, value by value, in place of all their combinations: with
            `[[a, b]]`, a's first value goes with b's first, and so on. Each group is one axis of the grid.

    Raises:
        ValueError: If `max_batch_size` is less than 1, or a key is in two groups.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: Mapping[str, str | None] | None,
        zip: Sequence[Sequence[str]] | None = None,
    ):
        if max_batch_size is not None and max_batch_size < 1:
            raise ValueError(f"`max_batch_size` must be at least 1, or null, got {max_batch_size}")
        self._max_batch_size = max_batch_size
        keys = [key for group in zip or () for key in group]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise ValueError(f"`zip` must have each key once, got {twice[0]} twice")
        self._params = params or {}
        self._zip = zip or ()

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
        runs = _combinations(parser.parse_overrides([*lines, *arguments]), self._zip)
        size = self._max_batch_size or max(1, len(runs))
        returns: list[JobReturn] = []
        for first in range(0, len(runs), size):
            # A launcher that does not wait returns nothing.
            returns += self._launcher.launch(runs[first : first + size], initial_job_idx=first)
        failed: Any = next((one for one in returns if one.status == JobStatus.FAILED), None)
        if failed is not None:
            _ = failed.return_value  # raises
        return returns


def _combinations(overrides: Iterable[Override], groups: Sequence[Sequence[str]]) -> list[list[str]]:
    """The overrides of each run; of two for the same key, the later one counts."""
    partners = {key: tuple(group) for group in groups for key in group}
    axes: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if not override.is_sweep_override():
            axes[key] = [f"{key}={override.get_value_element_as_str()}"]
        elif override.is_discrete_sweep():
            axes[key] = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            raise HydraException(
                f"`{key}`: a grid has no values for {override.get_value_element_as_str()}; list them, or search with "
                "hydra/sweeper=optuna"
            )
    grid: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for key, values in axes.items():
        group = partners.get(key.lstrip("+"), (key,))
        # Of a group, all after the first join it; the check before the sweep has counted their values.
        grid[group] = [(*row, value) for row, value in zip(grid.get(group, [()] * len(values)), values, strict=True)]
    return [[override for row in run for override in row] for run in product(*grid.values())]
