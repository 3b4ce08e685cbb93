"""From a composed config to plain values, with every interpolation resolved once."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ._config_errors import Problem
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
    """The resolved values of a config that was checked, or of what is resolved already.

    Raises:
        omegaconf.errors.OmegaConfBaseException: If a value is missing or cannot be resolved.
    """
    return {
        str(key): OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        if OmegaConf.is_config(value)
        else value
        for key, value in config.items()
        if key != "hydra"
    }
