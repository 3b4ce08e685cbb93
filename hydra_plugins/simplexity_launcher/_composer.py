"""Composing the configs of a thousand runs in seconds.

Hydra takes a tenth of a second for one. Most of it goes into the defaults list and the merging of files, which are the
same for all runs with the same choices from config groups: Hydra composes those once. A run only adds values
of its own. Where they are plain ones for keys that exist, and nothing in the config refers to another value, they are
put into a copy of the plain result; all else is given to a copy of Hydra's result as Hydra does it.
"""

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import InterpolationResolutionError

from simplexity.composition import ConfigError, Problem, has_surroundings_of
from simplexity.sweeps import SweepDirectory

from ._hydra_internals import apply_values, override_dirname
from ._yaml_text import yaml_text

_VARYING = ("num", "id", "override_dirname", "task", "output_dir")
_NUMBERED = "${hydra.job.num}"
_BY_OVERRIDES = "${hydra.job.override_dirname}"


class ComposedRun(NamedTuple):
    """One run's config.

    Attributes:
        config: Without Hydra's section: plain values, or a config whose values may refer to others and to Hydra's
            section; the latter can be resolved until the next run is composed.
        hydra_text: Hydra's section as YAML; None if the sweep's `multirun.yaml` says all that a start of the run needs.
        directory: The run directory, relative to the sweep's.
    """

    config: dict[str, Any] | DictConfig
    hydra_text: str | None
    directory: str


class _Base(NamedTuple):
    """What runs with the same choices share.

    Attributes:
        config: The config without Hydra's section.
        hydra: Hydra's section alone, under its key.
        plain: The plain values of `config`; None if they refer to each other or to Hydra's section.
        hydra_text: Hydra's section as YAML, with a mark for each value that varies; None as in `ComposedRun`.
    """

    config: DictConfig
    hydra: DictConfig
    plain: dict[str, Any] | None
    hydra_text: str | None


class RunComposer:
    """Composes the runs of one sweep.

    Args:
        loader: Hydra's loader.
        config: The sweep's own config.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig):
        self._loader = loader
        self._config = config
        self._bases: dict[tuple[str, ...], _Base] = {}
        self._parse = lru_cache(maxsize=None)(OverridesParser.create().parse_override)
        self._is_group = lru_cache(maxsize=None)(self._has_choices)
        self._sweep_dir = str(config.hydra.sweep.dir)
        self._multirun_path = SweepDirectory(Path(self._sweep_dir).absolute()).multirun_path
        subdir = OmegaConf.to_container(config.hydra.sweep, resolve=False)["subdir"]  # pyright: ignore
        self._is_numbered = subdir == _NUMBERED
        # As typed: `hydra.sweep.subdir=run_${hydra.job.num}` has no value before there is a run.
        self._hydra_overrides: Any = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)

    def compose(self, overrides: Sequence[str], index: int) -> ComposedRun:
        """The config of the sweep's run `index`.

        Raises:
            HydraException: If an override cannot be applied.
            ConfigError: If `hydra.sweep.subdir` has no value.
        """
        choices = tuple(override for override in overrides if not self._sets_value(override))
        base = self._bases.get(choices)
        if base is None:
            base = self._bases[choices] = self._compose_base(choices)
        values = [self._parse(override) for override in overrides if self._sets_value(override)]
        plain = None if base.plain is None else _with_values(base.plain, values)
        if plain is not None and self._is_numbered and base.hydra_text is None:
            return ComposedRun(plain, None, str(index))
        name = self._dirname(base, overrides)
        if plain is not None and self._is_numbered:
            return ComposedRun(plain, self._hydra_text(base, overrides, index, name, str(index)), str(index))
        config = copy.deepcopy(base.config)
        apply_values(values, config)
        directory = self._number(base, overrides, index, name)
        return ComposedRun(config, self._hydra_text(base, overrides, index, name, directory), directory)

    def _sets_value(self, text: str) -> bool:
        """Whether an override leaves the choice of files as it is; the rule is that of Hydra's defaults list."""
        override = self._parse(text)
        if override.is_hydra_override() or override.package is not None:
            return False
        return isinstance(override.value(), dict) or not self._is_group(override.key_or_group)

    def _has_choices(self, key: str) -> bool:
        """Whether a key is a group of configs; the search path, with the site's folder in it, depends on the sweep."""
        name = self._config.hydra.job.config_name
        return bool(self._loader.get_group_options(key, None, name, self._hydra_overrides))

    def _compose_base(self, choices: Sequence[str]) -> _Base:
        config = self._loader.load_sweep_config(self._config, list(choices))
        hydra = OmegaConf.masked_copy(config, ["hydra"])
        with read_write(config), open_dict(config):
            del config["hydra"]
        plain: Any = OmegaConf.to_container(config, resolve=False)
        base = _Base(config, hydra, plain if _is_plain(plain) else None, None)
        if has_surroundings_of(hydra.hydra, self._multirun_path, self._config.hydra):
            return base
        marked: Any = OmegaConf.to_container(hydra, resolve=False, enum_to_str=True)
        section = marked["hydra"]
        for parent, names in (("job", _VARYING[:3]), ("overrides", _VARYING[3:4]), ("runtime", _VARYING[4:])):
            section[parent] |= {name: _mark(name) for name in names}
        return base._replace(hydra_text=yaml_text(marked))

    def _dirname(self, base: _Base, overrides: Sequence[str]) -> str:
        parsed = [self._parse(override) for override in overrides]
        own = [override for override in parsed if not override.is_hydra_override()]
        return override_dirname(own, base.hydra.hydra.job.config.override_dirname)

    def _hydra_text(self, base: _Base, overrides: Sequence[str], index: int, name: str, directory: str) -> str | None:
        if base.hydra_text is None:
            return None
        values = (index, str(index), name, list(overrides), f"{self._sweep_dir}/{directory}")
        text = base.hydra_text
        for key, value in zip(_VARYING, values, strict=True):
            entry = "".join(f"    {line}" for line in yaml_text({key: value}).splitlines(keepends=True))
            text = text.replace(f"    {key}: {_mark(key)}\n", entry)
        return text

    def _number(self, base: _Base, overrides: Sequence[str], index: int, name: str) -> str:
        """Puts the run's number and names into Hydra's section, and lets `${hydra:...}` see it."""
        section = base.hydra.hydra
        with read_write(base.hydra), open_dict(base.hydra):
            section.overrides.task = list(overrides)
            section.job.update(num=index, id=str(index), override_dirname=name)
            HydraConfig.instance().cfg = base.hydra  # pyright: ignore[reportAttributeAccessIssue]
            try:
                directory = str(section.sweep.subdir)
            except InterpolationResolutionError as error:
                reason = str(error).splitlines()[0]
                message = f"{reason}; it may refer to `hydra` alone, as in ${{hydra.job.num}} and {_BY_OVERRIDES}"
                raise ConfigError([Problem("hydra.sweep.subdir", message)]) from error
            section.runtime.output_dir = f"{self._sweep_dir}/{directory}"
        return directory


def _mark(name: str) -> str:
    return f"simplexity_launcher_{name}"


def _is_plain(value: Any) -> bool:
    """Whether there is neither an interpolation nor a missing value in it."""
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or ("${" not in value and value != "???")


def _with_values(plain: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any] | None:
    """A copy with scalars in the place of values that exist, sharing all other sections; None if more is to be done."""
    result = dict(plain)
    for override in overrides:
        *parents, last = override.key_or_group.split(".")
        value: Any = override.value()
        special = override.is_delete() or override.is_add() or override.is_force_add() or "[" in override.key_or_group
        if special or not isinstance(value, int | float | str | None) or not _is_plain(value):
            return None
        section = result
        for parent in parents:
            if not isinstance(section.get(parent), dict):
                return None
            section[parent] = dict(section[parent])
            section = section[parent]
        if last not in section or isinstance(section[last], dict | list):
            return None
        section[last] = value
    return result
