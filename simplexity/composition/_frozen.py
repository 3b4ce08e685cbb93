"""A run's config, resolved once and kept in its run directory, and what may change when the run is resumed."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from simplexity.runs import (
    RunDirectory,
    UnreadableError,
    is_there,
    read_file,
    retry_read,
    write_durably,
)
from simplexity.sweeps import no_run_problem

from ._config_errors import ConfigError, Problem
from ._instantiate import without_hydra
from ._sections import ADDED_KEYS, CONFIG, Section
from ._signature import signature_of
from ._types import ABSENT, describe_value


class Difference(NamedTuple):
    """One dotted key whose value differs; `ABSENT` where one side has no such key."""

    path: str
    frozen: Any
    new: Any


def freeze(config: DictConfig, run_dir: Path, require_held: Callable[[], object] = lambda: None) -> Path:
    """Writes the resolved config into `run_dir`, whole or not at all, if the run there may be resumed with it.

    Args:
        config: What the run is started with.
        run_dir: Its directory, whose lock this process holds.
        require_held: As in `write_durably`.

    Returns:
        The file that `load_frozen` reads.

    Raises:
        ConfigError: With every difference from the config that is there which matters.
    """
    path = RunDirectory(run_dir).config_path
    if is_there(path):
        refuse_changes(load_frozen(run_dir), config)
    write_durably(path, OmegaConf.to_yaml(OmegaConf.create(without_hydra(config))), require_held)
    return path


def load_frozen(run_dir: Path) -> DictConfig:
    """Reads what `freeze` wrote, also by an earlier version: keys of the root that have been added since are filled in.

    Parameters of constructors need none of this: one that is added has a default in Python.

    Raises:
        ConfigError: If there is no run directory, or it has no frozen config, or one that is no YAML.
        UnreadableError: If it cannot be read.
    """
    path = RunDirectory(run_dir).config_path
    try:
        config = OmegaConf.load(io.BytesIO(retry_read(lambda: read_file(path))))
    except UnreadableError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError([Problem(str(run_dir), no_run_problem(run_dir))]) from None
    except Exception as error:  # the YAML parser's errors have no common public base
        raise ConfigError([Problem(str(path), f"cannot be read: {error}")]) from error
    if not isinstance(config, DictConfig):
        raise ConfigError([Problem(str(path), "must hold a section, got a list")])
    for key, value in ADDED_KEYS.items():
        config.setdefault(key, value)
    return config


def config_hash(config: Mapping[Any, Any]) -> str:
    """Sixteen hexadecimal digits that are the same for the same resolved config, however it was composed."""
    text = json.dumps(without_hydra(config), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(frozen: DictConfig, new: DictConfig) -> list[Difference]:
    """Every dotted key whose resolved value differs, in alphabetical order; lists count as single values."""
    old_leaves, new_leaves = _leaves(without_hydra(frozen)), _leaves(without_hydra(new))
    pairs = [(key, old_leaves.get(key, ABSENT), new_leaves.get(key, ABSENT)) for key in {**old_leaves, **new_leaves}]
    return sorted(Difference(key, old, value) for key, old, value in pairs if not _equal(old, value))


def may_change(difference: Difference) -> bool:
    """Whether a run may be resumed with this difference: more steps, other metrics, analysis, logging, saving, figures.

    Where a config was taken from (`from_run`) may change too: its values count.
    """
    path, frozen, new = difference
    if path == "training.num_train_steps":
        return isinstance(frozen, int) and isinstance(new, int) and new > frozen
    free = ("analysis", "logging", "persistence", "validation.functions")
    return path in (*free, "figures", "from_run") or path.startswith(tuple(f"{section}." for section in free))


def refuse_changes(frozen: DictConfig, new: DictConfig) -> None:
    """Checks that a run may be resumed with another config.

    Args:
        frozen: The config that it was started with.
        new: The one that it is to be resumed with, resolved.

    Raises:
        ConfigError: With every difference that matters.
    """
    problems = [
        Problem(
            difference.path,
            f"was {describe_value(difference.frozen)} when this run started and may not become "
            f"{describe_value(difference.new)}; keep it, or start in another run directory",
        )
        for difference in differences(frozen, new)
        if not may_change(difference) and not _says_the_default(difference, new)
    ]
    if problems:
        raise ConfigError(problems)


def _says_the_default(difference: Difference, new: DictConfig) -> bool:
    """Whether a parameter that was added since the run began has the value that the run has computed with."""
    if difference.frozen is not ABSENT:
        return False
    parent, _, name = difference.path.rpartition(".")
    target = (OmegaConf.select(new, parent) or {}).get("_target_") or _constructor(parent)
    parameter = signature_of(target).parameters.get(name) if target else None
    return parameter is not None and not parameter.required and _equal(parameter.default, difference.new)


def _constructor(path: str) -> str | None:
    section: Any = CONFIG
    for name in path.split("."):
        section = section.keys.get(name) if isinstance(section, Section) else None
    return section.constructor if isinstance(section, Section) else None


def _leaves(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, entry in value.items():
        if isinstance(entry, Mapping) and entry:
            leaves |= _leaves(entry, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = entry
    return leaves


def _equal(old: Any, new: Any) -> bool:
    """Equality that tells true from 1, but takes 1 and 1.0 for the same number."""
    return old == new and isinstance(old, bool) == isinstance(new, bool)
