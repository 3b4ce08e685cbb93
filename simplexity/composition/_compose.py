"""Composes configs as the entrypoints do, without running anything."""

from collections.abc import Sequence
from pathlib import Path

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ._config_errors import ConfigError, Problem, raised_in
from ._from_run import with_base_run
from ._hydra_errors import Culprit, explain, find_culprit
from ._hydra_session import composing
from ._overrides import first_value, rewrite
from ._site import make_importable


def compose(config_name: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The config that an entrypoint would run, without Hydra's own section.

    Args:
        config_name: "experiment", "train_model", or another primary config.
        overrides: As on the command line, `training_data_generator=NAME` included.

    Raises:
        ConfigError: With every override that cannot be applied.
    """
    config, problems = compose_leniently(config_name, overrides)
    if problems:
        raise ConfigError(problems)
    with open_dict(config):
        del config["hydra"]
    return config


def compose_leniently(
    config_name: str, overrides: Sequence[str], *, config_dir: str | None = None, sweeping: bool = False
) -> tuple[DictConfig, list[Problem]]:
    """Composes what can be composed, leaving out one by one the overrides that cannot be applied.

    Args:
        config_name: Name of the primary config.
        overrides: As on the command line.
        config_dir: A further folder of configs.
        sweeping: Whether overrides may sweep; the first of the values is then taken.

    Returns:
        The config with Hydra's section, and a problem for each override that was left out.

    Raises:
        ConfigError: If nothing can be composed, whatever is left out.
    """
    config_name, overrides = with_base_run(config_name, overrides)
    remaining = rewrite(overrides)
    if config_dir is not None:
        remaining.append(f"hydra.searchpath=['file://{Path(config_dir).absolute()}']")
    culprits: list[Culprit] = []
    with composing():
        while True:
            try:
                if sweeping:
                    remaining = [first_value(override) for override in remaining]
                config = hydra.compose(config_name, remaining, return_hydra_config=True)
                break
            except Exception as error:
                if not is_mistake(error):
                    raise
                culprit = find_culprit(error, remaining)
                if culprit is None:
                    raise ConfigError([explain(Culprit(config_name, error), None)]) from error
                culprits.append(culprit)
                remaining.remove(culprit.override)
        problems = [explain(culprit, config) for culprit in culprits]
    make_importable(config.hydra)
    return config, _without_consequences(problems, culprits)


def is_mistake(error: Exception) -> bool:
    """Whether Hydra says with this error that a config is wrong.

    Its defaults list has no error of its own, and raises ValueError; a ValueError of other code is a bug.
    """
    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        return True
    return isinstance(error, ValueError) and raised_in(error, "hydra", "omegaconf")


def _without_consequences(problems: list[Problem], culprits: list[Culprit]) -> list[Problem]:
    """Drops the problems with keys of a section whose choice was wrong: the right choice may well have them."""
    sections = tuple(f"{culprit.section}." for culprit in culprits if culprit.section)
    return [problem for problem in problems if not (sections and problem.path.startswith(sections))]
