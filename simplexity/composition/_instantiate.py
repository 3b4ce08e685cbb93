"""Resolving a config: its plain values, with every interpolation resolved once, and the objects that it names."""

from collections.abc import Callable, Mapping
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ._config_errors import Problem
from ._named_processes import expand_generators, expand_processes
from ._signature import signature_of
from ._types import ABSENT


def plain_values(config: DictConfig, problems: list[Problem], only: str | None = None) -> dict[str, Any]:
    """Resolves `config`, without Hydra's own section.

    Args:
        config: A composed config.
        problems: Receives a problem for each value that is missing (`???`) or cannot be resolved.
        only: The one key of the root to resolve; None for all.

    Returns:
        Dicts, lists and scalars; `ABSENT` at the place of each problem.
    """
    return {str(key): _item(config, key, str(key), problems) for key in config if key == (only or key) != "hydra"}


def _item(node: DictConfig | ListConfig, key: Any, path: str, problems: list[Problem]) -> Any:
    try:
        value = node[key]
    except MissingMandatoryValue:
        problems.append(Problem(path, f"needs a value: add {path}=VALUE"))
        return ABSENT
    except OmegaConfBaseException as error:
        problems.append(Problem(path, f"cannot be resolved: {str(error.msg or error).splitlines()[0]}"))
        return ABSENT
    if isinstance(value, DictConfig):
        return {str(inner): _item(value, inner, f"{path}.{inner}", problems) for inner in value}
    if isinstance(value, ListConfig):
        return [_item(value, index, f"{path}.{index}", problems) for index in range(len(value))]
    return value


def without_hydra(config: Mapping[Any, Any]) -> dict[str, Any]:
    """The resolved values of a config that was checked, or of what is resolved already, as a run keeps them.

    Raises:
        ValueError: If a process inside of another has a name that does not exist.
        omegaconf.errors.OmegaConfBaseException: If a value is missing or cannot be resolved.
    """
    values = {
        str(key): OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        if OmegaConf.is_config(value)
        else value
        for key, value in config.items()
        if key != "hydra"
    }
    return expand_generators(values)


def instantiate(
    section: Mapping[str, Any] | DictConfig | None, replaced: Mapping[str, Any] | None = None, /, **supplied: Any
) -> Any:
    """Builds what `section` names, and what is nested in it; None for None.

    Args:
        section: A section with a `_target_`, or its values.
        replaced: Arguments in place of the section's own, such as numbers that are being traced.
        supplied: What the program knows and a config does not say; each target gets those that it has parameters for.

    Raises:
        Exception: Whatever a constructor raised, without Hydra's frame around it.
    """
    if section is None:
        return None
    replaced = replaced or {}
    kept = {str(name): value for name, value in section.items() if name not in replaced} if replaced else section
    # Hydra copies what it is given, and what is being traced is not to be copied: hence the two steps.
    return prepare(kept, **supplied)(**replaced, **_accepted(section["_target_"], supplied))


def prepare(section: Mapping[str, Any] | DictConfig, **supplied: Any) -> Callable[..., Any]:
    """What `section` names, with its arguments, but not yet called; what is nested in it is built.

    Args:
        section: A section with a `_target_`, or its values.
        supplied: What nested targets get, those that have parameters for it.

    Raises:
        Exception: Whatever a constructor raised, without Hydra's frame around it.
    """
    values = OmegaConf.to_container(section, resolve=True) if isinstance(section, DictConfig) else section
    nested = {name: _completed(value, supplied) for name, value in expand_processes(values).items()}  # pyright: ignore
    try:
        return hydra.utils.instantiate(nested | {"_partial_": True}, _convert_="all")
    except InstantiationException as error:
        raise error.__cause__ or error from None


def _completed(value: Any, supplied: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_completed(item, supplied) for item in value]
    if not isinstance(value, Mapping):
        return value
    completed = {name: _completed(item, supplied) for name, item in value.items()}
    return completed | (_accepted(value["_target_"], supplied) if "_target_" in value else {})


def _accepted(target: str, supplied: Mapping[str, Any]) -> dict[str, Any]:
    parameters = signature_of(target).parameters
    return {name: value for name, value in supplied.items() if name in parameters}
