"""Checking one config after the other, of which most sections are the same: each is checked once."""

import json
from collections import OrderedDict
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ._check import check
from ._config_errors import Problem

# A sweep over a hundred thousand rates has as many sections.
_MOST = 1000


class SectionCheck:
    """Finds what `check` finds. A section that equals one of an earlier config is not checked again."""

    def __init__(self):
        self._valid_keys: set[tuple[str, ...]] = set()
        self._sections: OrderedDict[tuple[str, str], list[Problem]] = OrderedDict()

    def __call__(self, config: DictConfig) -> list[Problem]:
        """Every mistake in a config without Hydra's section."""
        try:
            values: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException:
            return check(config)
        return self.of_values(values)

    def of_values(self, values: dict[str, Any]) -> list[Problem]:
        """Every mistake in the resolved values of a config."""
        keys = tuple(values)
        if keys not in self._valid_keys:
            if problems := check(OmegaConf.create(values)):
                return problems
            self._valid_keys.add(keys)
        return [problem for key in keys for problem in self._section(key, values[key])]

    def _section(self, key: str, value: Any) -> list[Problem]:
        name = (key, json.dumps(value))
        if name in self._sections:
            self._sections.move_to_end(name)
            return self._sections[name]
        problems = self._sections[name] = check(OmegaConf.create({key: value}), only=key)
        if len(self._sections) > _MOST:
            self._sections.popitem(last=False)
        return problems
