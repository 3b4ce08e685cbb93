"""What the plugins use of Hydra that is not its public API, all in one place.

Its public way to compose one run is `ConfigLoader.load_sweep_config`, which takes a tenth of a second; the first two
functions are the steps of it that depend on the run. The rest is about what a failed run prints.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import DictConfig


def apply_values(values: Sequence[Override], config: DictConfig) -> None:
    """Changes a composed config by overrides that give values, as Hydra does; there is no public call for it."""
    ConfigLoaderImpl._apply_overrides_to_config(list(values), config)


def override_dirname(overrides: Sequence[Override], settings: DictConfig) -> str:
    """What `${hydra.job.override_dirname}` is for a run; Hydra offers it only within a whole composition.

    Args:
        overrides: The run's, without those of Hydra itself.
        settings: `hydra.job.config.override_dirname`.
    """
    return get_overrides_dirname(
        overrides=list(overrides),
        kv_sep=settings.kv_sep,
        item_sep=settings.item_sep,
        exclude_keys=settings.exclude_keys,
    )


class FailedReturn(JobReturn):
    """A failed run: a sweeper that asks for its return value learns of every run of the batch that failed.

    Hydra's own class prints a line of its own before it raises.

    Args:
        reason: Why this run failed.
        summary: One line on all runs of the batch that failed.
        fields: What `JobReturn` takes besides.
    """

    def __init__(self, reason: str, summary: str, fields: Mapping[str, Any]):
        super().__init__(**fields, status=JobStatus.FAILED)
        self._return_value = RuntimeError(reason)
        self._summary = summary

    @property
    def return_value(self) -> Any:
        raise RuntimeError(self._summary)


def returned(result: JobReturn) -> Any:
    """What a run returned or raised. The public `return_value` of a failed run raises that, and prints."""
    return result._return_value
