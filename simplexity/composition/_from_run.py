"""`+from_run=DIR`: another run's config as the base of a new one, with overrides on top.

The base becomes a primary config of Hydra's with the groups of the packaged one, and each group's choice is that run's
section. So `predictive_model=gru` replaces its model, and sweeps, studies and values are applied as ever.
"""

import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from simplexity.runs import RunDirectory, is_there, read_file, retry_read
from simplexity.sweeps import sweep_of

from ._config_errors import ConfigError, Problem
from ._data_files import with_kept_files
from ._frozen import differences, load_frozen
from ._hydra_session import composing
from ._overrides import rewrite
from ._site import CONFIG_MODULE
from ._types import ABSENT

_KEY = "from_run"
BASE_CHOICE = _KEY
"""With this the names begin that the sections of the base have as choices of their groups."""
_OVERRIDE = re.compile(rf"\+{{0,2}}{_KEY}=(.*)", re.DOTALL)


def with_base_run(config_name: str, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Makes the config of the run that `+from_run=DIR` names known to Hydra, as a primary config.

    Args:
        config_name: The program's primary config.
        arguments: Flags and overrides.

    Returns:
        The name of the primary config to compose, and the arguments that are left. Without such an override, both as
        they were.

    Raises:
        ConfigError: If there is no run in the folder, or more than one base.
        UnreadableError: If a file of the run cannot be read.
    """
    named = [found[1] for argument in arguments if (found := _OVERRIDE.fullmatch(argument))]
    if not named:
        return config_name, list(arguments)
    remaining = [argument for argument in arguments if not _OVERRIDE.fullmatch(argument)]
    if len(named) > 1 or any(argument.startswith(("--config-name", "-cn")) for argument in remaining):
        raise ConfigError([Problem(_KEY, "must be the only base of a config: give one folder, and no `--config-name`")])
    name = named[0].strip().strip("'\"")
    if not name:
        raise ConfigError([Problem(_KEY, "needs a value: the folder of a run")])
    folder = Path(name).expanduser().absolute()
    base = f"{config_name}_{_KEY}"
    _store(base, config_name, _base(folder), folder)
    return base, remaining


def _base(folder: Path) -> dict[str, Any]:
    """The run's config, with its copies in the place of data files."""
    try:
        frozen = load_frozen(folder)
    except ConfigError as error:
        texts = [f"{problem.path}: {problem.message}" for problem in error.problems]
        raise ConfigError([Problem(_KEY, text) for text in texts]) from None
    config = with_kept_files(_with_references(folder, frozen), RunDirectory(folder))
    values: Any = OmegaConf.to_container(config, resolve=False)
    return values


def _with_references(folder: Path, frozen: DictConfig) -> DictConfig:
    """What Hydra composed for the run, if that still means the same as the frozen config, or else the frozen config.

    It has references between values, such as `decay_steps: ${training.num_train_steps}`, which shall follow an
    override; the frozen config has values alone.
    """
    try:
        composed = _composed(folder)
        if composed is not None and all(one.new is ABSENT for one in differences(frozen, composed)):
            return DictConfig({**frozen, **composed})
    except (OSError, ValueError, RuntimeError, YAMLError, HydraException, OmegaConfBaseException):
        pass  # the values are there
    return frozen


def _composed(folder: Path) -> DictConfig | None:
    """The config with its references: as Hydra has kept it, or for a run of a sweep composed once more."""
    kept = folder / ".hydra" / "config.yaml"
    if is_there(kept):
        composed = OmegaConf.create(retry_read(lambda: read_file(kept)).decode())
        return composed if isinstance(composed, DictConfig) else None
    sweep = sweep_of(folder)
    if sweep is None:
        return None
    manifest = sweep.read_manifest()
    run = next((run for run in manifest.runs if sweep.run_directory(run).path == folder), None)
    if run is None:
        return None
    with composing():
        return hydra.compose(manifest.config_name, rewrite(run.overrides))


def _store(name: str, config_name: str, values: dict[str, Any], folder: Path) -> None:
    """Gives Hydra a primary config like the packaged one, with the run's sections as the choices of its groups."""
    primary: Any = OmegaConf.to_container(
        OmegaConf.create((resources.files(CONFIG_MODULE) / f"{config_name}.yaml").read_text())
    )
    store = ConfigStore.instance()
    defaults = []
    # Sections within sections come last in the list, and are taken out first.
    for entry in reversed(primary["defaults"]):
        key = "" if isinstance(entry, str) else next(iter(entry))
        if not key or key.startswith("override "):
            defaults.append(entry)
            continue
        group, _, package = key.partition("@")
        *parents, last = (package or group.replace("/", ".")).split(".")
        section = values
        for parent in parents:
            section = section[parent]
        node = section.pop(last, None)
        if node is None:
            # Null at the root takes the group out; `schedule: null` is the choice of the packaged config.
            defaults.append(entry if parents else {key: None})
            continue
        choice = f"{BASE_CHOICE}_{package}" if package else BASE_CHOICE
        store.store(choice, node, group)
        defaults.append({key: choice})
    store.store(name, {**primary, **values, _KEY: str(folder), "defaults": defaults[::-1]})
