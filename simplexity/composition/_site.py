"""What a run takes from outside its config: modules beside the site's configs, and `hydra.job.env_set`.

Hydra writes both into `.hydra/hydra.yaml` of the run's folder, and those of all runs of a sweep into the sweep's
`multirun.yaml`. So a run that is resumed has them again, wherever it is resumed from.
"""

import io
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from simplexity.host import configure_accelerator
from simplexity.runs import UnreadableError, read_file, retry_read
from simplexity.sweeps import sweep_of

from ._config_errors import ConfigError, Problem

CONFIG_MODULE = "simplexity.configs"
"""The packaged configs."""

SITE_VARIABLE = "SIMPLEXITY_CONFIGS"

# What this process has added to Python's path.
_added: set[str] = set()


def site_folder() -> Path:
    """The site's folder of configs.

    Raises:
        ConfigError: If the environment names one that does not exist.
    """
    named = os.environ.get(SITE_VARIABLE)
    if named is not None and not Path(named).is_dir():
        raise ConfigError(
            [Problem(SITE_VARIABLE, f"must name a folder of configs, got '{named}'; create it, or unset it")]
        )
    return _site_folder_unchecked()


def _site_folder_unchecked() -> Path:
    return Path(os.environ.get(SITE_VARIABLE) or "configs").absolute()


def absent_package(name: str) -> str:
    """What is wrong if a `_target_` names a package that cannot be found, and what to do."""
    folder = _site_folder_unchecked()
    state = "" if folder.is_dir() else ", which does not exist"
    return (
        f"there is no package `{name}`: install it, or set {SITE_VARIABLE} to the folder of configs that has"
        f" {name}.py (now {folder}{state})"
    )


def absent_group(name: str) -> str:
    """What else is wrong if `+name=FILE` was to choose from a group that only a site has; empty if the site has it."""
    folder = site_folder() / name
    if folder.is_dir():
        return ""
    where = " (that of the studies is CHECKOUT/configs)" if name == "study" else ""
    remedy = f"change the current folder, or set {SITE_VARIABLE} to the folder of configs{where}"
    return f"; as a group of configs it would be the folder {folder}, which does not exist: {remedy}"


def make_importable(hydra: DictConfig) -> None:
    """Lets a `_target_` name modules that lie in a folder of configs: the site's, or another on the search path.

    The folders come last on Python's path: `configs/logging` must not hide the module of that name. Behind those that
    the config was composed from comes the site's of today: a run that was copied to another machine, or whose folder of
    configs was moved, finds its modules there. Those of earlier runs in this process come behind both.

    Args:
        hydra: Hydra's section of a composed config.
    """
    sources = (source for source in hydra.runtime.config_sources if source.schema == "file")
    folders = [*(Path(hydra.runtime.cwd, source.path) for source in sources), _site_folder_unchecked()]
    others = [path for path in sys.path if path not in _added]
    wanted = [path for path in dict.fromkeys(map(str, folders)) if path not in others]
    earlier = [path for path in sys.path if path in _added and path not in wanted]
    _added.update(wanted)
    if sys.path != (paths := [*others, *wanted, *earlier]):
        sys.path[:] = paths


def set_environment(hydra: DictConfig) -> None:
    """Sets the variables of `hydra.job.env_set`. Call it before jax is imported, which reads some of them then.

    Raises:
        ConfigError: If a value cannot be resolved.
    """
    variables = environment_variables(hydra)
    if variables:
        os.environ.update(variables)
        configure_accelerator()


def environment_variables(hydra: DictConfig) -> dict[str, str]:
    """The variables of `hydra.job.env_set`.

    Raises:
        ConfigError: If a value cannot be resolved.
    """
    try:
        variables: Any = OmegaConf.to_container(hydra.job.env_set, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError([Problem("hydra.job.env_set", str(error).splitlines()[0])]) from None
    return {str(name): str(value) for name, value in (variables or {}).items()}


def restore_surroundings(run_dir: Path, *, environment: bool = True) -> None:
    """Does for a run that was started earlier what `make_importable` and `set_environment` did then.

    Args:
        run_dir: Its directory.
        environment: Whether to set the variables too.

    Raises:
        ConfigError: If what Hydra has written is no YAML.
        UnreadableError: If it cannot be read.
    """
    hydra = read_surroundings(run_dir)
    if hydra is None:
        return
    make_importable(hydra)
    if environment:
        set_environment(hydra)


def read_surroundings(run_dir: Path) -> DictConfig | None:
    """Hydra's section of a run that was started earlier, or of its sweep; None if Hydra has not written it.

    Raises:
        ConfigError: If what Hydra has written is no YAML.
        UnreadableError: If it cannot be read.
    """
    hydra = _read_hydra(run_dir / ".hydra" / "hydra.yaml")
    if hydra is None and (sweep := sweep_of(run_dir.absolute())) is not None:
        hydra = _read_hydra(sweep.multirun_path)
    return hydra


def has_surroundings_of(hydra: DictConfig, multirun_path: Path, sweep: DictConfig) -> bool:
    """Whether a run of a sweep would be started with the same surroundings from the sweep's `multirun.yaml` alone.

    Args:
        hydra: Hydra's section of the run's config.
        multirun_path: What the sweep's folder has, if it has one already.
        sweep: Hydra's section of the sweep's config, which is written there otherwise.
    """
    kept = _read_hydra(multirun_path)
    wanted = _surroundings(hydra)
    # What refers to the run, such as its number, has no value for the sweep.
    return "${" not in str(wanted) and wanted == _surroundings(sweep if kept is None else kept)


def _surroundings(hydra: DictConfig) -> list[Any]:
    nodes = (hydra.job.env_set, hydra.runtime.config_sources)
    return [hydra.runtime.cwd, *(OmegaConf.to_container(node, resolve=False) for node in nodes)]


def _read_hydra(path: Path) -> DictConfig | None:
    try:
        return _parsed(retry_read(lambda: read_file(path))).hydra
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnreadableError:
        raise
    except Exception as error:  # the YAML parser's errors have no common public base
        raise ConfigError([Problem(str(path), f"cannot be read: {error}")]) from error


@lru_cache(maxsize=2)  # a worker asks for each run of its sweep, and parsing takes a tenth of what a small run trains
def _parsed(content: bytes) -> Any:
    return OmegaConf.load(io.BytesIO(content))
