"""Checking the configs of a thousand runs in seconds: each section that differs from all before is checked once."""

import json
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simplexity.composition import GENERATORS, Problem, SectionCheck, check, expand_generators
from simplexity.running import check_by_building


class RunCheck:
    """Checks one run after the other.

    Args:
        num_processes: Processes of each run, which share its batches.
    """

    def __init__(self, num_processes: int = 1):
        self._num_processes = num_processes
        self._check_sections = SectionCheck()
        self._wholes: dict[str, list[Problem]] = {}

    def __call__(self, config: dict[str, Any] | DictConfig) -> tuple[dict[str, Any], list[Problem]]:
        """The config's resolved values, and every mistake in it; without values, if they cannot be resolved.

        Args:
            config: A config without Hydra's section, or its resolved values.
        """
        try:
            values: Any = (
                OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
                if isinstance(config, DictConfig)
                else config
            )
        except OmegaConfBaseException:
            return {}, check(config)  # pyright: ignore[reportArgumentType]
        problems = self._check_sections.of_values(values)
        if not problems and values["training"]["batch_size"] % self._num_processes:
            message = (
                f"must be divisible by the number of processes, `cluster.nodes` times `cluster.tasks_per_node` = "
                f"{self._num_processes}, got {values['training']['batch_size']}"
            )
            problems = [Problem("training.batch_size", message)]
        problems = problems or self._whole(values)
        return values if problems else expand_generators(values), problems

    def _whole(self, values: dict[str, Any]) -> list[Problem]:
        """What only sections together get wrong: the model's shapes, the two generators' tokens."""
        # Numbers of a process that are no integers change no shape, and sweeps over them are long.
        training = values["training"]
        shapes = [_without_floats(values[name]) for name in GENERATORS]
        name = json.dumps([shapes, values["predictive_model"], training["sequence_len"], training["carry_state"]])
        if name not in self._wholes:
            self._wholes[name] = check_by_building(OmegaConf.create(values))
        return self._wholes[name]


def _without_floats(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_floats(entry) for key, entry in value.items() if not isinstance(entry, float)}
    return value
