"""From a section with a `_target_` to its object."""

from collections.abc import Callable, Mapping
from typing import Any

import hydra.utils
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf

from ._signature import signature_of


def instantiate(section: Mapping[str, Any] | DictConfig | None, **supplied: Any) -> Any:
    """Builds what `section` names, and what is nested in it; None for None.

    Args:
        section: A section with a `_target_`, or its values.
        supplied: What the program knows and a config does not say; each target gets those that it has parameters for.

    Raises:
        Exception: Whatever a constructor raised, without Hydra's frame around it.
    """
    if section is None:
        return None
    # Hydra copies what it is given, and a random key that is being traced is not to be copied: hence the two steps.
    return prepare(section, **supplied)(**_accepted(section["_target_"], supplied))


def prepare(section: Mapping[str, Any] | DictConfig, **supplied: Any) -> Callable[..., Any]:
    """What `section` names, with its arguments, but not yet called; what is nested in it is built.

    Args:
        section: A section with a `_target_`, or its values.
        supplied: What nested targets get, those that have parameters for it.

    Raises:
        Exception: Whatever a constructor raised, without Hydra's frame around it.
    """
    values = OmegaConf.to_container(section, resolve=True) if isinstance(section, DictConfig) else section
    nested = {name: _completed(value, supplied) for name, value in values.items()}  # pyright: ignore
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
