"""Overrides as people type them, and as Hydra needs them.

Both data generators come from one config group, `generative_process`, put at two places of the config. Hydra calls such
a choice `generative_process@training_data_generator=NAME`; to `training_data_generator=NAME` it would replace the whole
section by a string. And a group's choice cannot be set to null, only taken out of the defaults list. A cluster's
profile is the launcher's and no part of a run's config, so that the same run has the same config everywhere.
"""

import re
from collections.abc import Iterable, Mapping

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from ._sections import GENERATOR_GROUP, GENERATORS

_GENERATOR = re.compile(rf"({'|'.join(GENERATORS)})=(?!\s*(?:null\s*$|\$?{{))")
_CLUSTER_SECTION = "hydra.launcher.cluster"
_CLUSTER = re.compile(r"([+~]*)cluster([=.])")
_NULL = re.compile(rf"(?:{GENERATOR_GROUP}@)?(validation_data_generator|validation|analysis)=\s*null\s*")


def rewrite(arguments: Iterable[str]) -> list[str]:
    """Puts overrides in Hydra's form; whatever else is among `arguments` stays as it is.

    Names of processes, lists of them to sweep over and sweep functions are choices of the group. A section
    (`training_data_generator={instance: ...}`) or an interpolation is a value, and stays one. What a study sets of a
    section that is null is taken away by a last choice, `+without=[SECTION]`.
    """
    typed = list(arguments)
    rewritten = [_rewrite(argument) for argument in typed]
    nulls = [null[1] for argument in typed if (null := _NULL.fullmatch(argument)) and null[1] not in GENERATORS]
    if nulls and any(argument.startswith("+study=") for argument in typed):
        rewritten.append(f"+without=[{','.join(dict.fromkeys(nulls))}]")
    return rewritten


def rewrite_keys(parameters: Mapping[str, str | None]) -> dict[str, str | None]:
    """The same for a sweeper's `params`, which map keys to sweeps."""
    return {rewrite([f"{key}={value}"])[0].partition("=")[0]: value for key, value in parameters.items()}


def as_typed(key: str) -> str:
    """The short form of a key that `rewrite` made long."""
    short = key.removeprefix(f"{GENERATOR_GROUP}@").removesuffix(f"@{_CLUSTER_SECTION}")
    return short.removeprefix("hydra.launcher.") if short.startswith(f"{_CLUSTER_SECTION}.") else short


def first_value(override: str) -> str:
    """An override without its sweep: with the first of the values that it would sweep over. Hydra is initialised."""
    parsed = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides([override])[0]
    if not parsed.is_discrete_sweep():
        return override
    return f"{parsed.get_key_element()}={next(iter(parsed.sweep_string_iterator()), 'null')}"


def _rewrite(argument: str) -> str:
    cluster = _CLUSTER.match(argument)
    if cluster is not None:
        section = f"cluster@{_CLUSTER_SECTION}" if cluster[2] == "=" else _CLUSTER_SECTION
        return f"{cluster[1]}{section}{argument[cluster.end(1) + len('cluster') :]}"
    null = _NULL.fullmatch(argument)
    if null is not None:
        is_generator = null[1] in GENERATORS
        return f"~{GENERATOR_GROUP}@{null[1]}" if is_generator else f"~{null[1]}"
    return f"{GENERATOR_GROUP}@{argument}" if _GENERATOR.match(argument) else argument
