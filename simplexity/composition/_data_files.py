"""Files that a config names, such as a process's .npz: a run keeps a copy, and computes from that on every start."""

import hashlib
import logging
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from simplexity.runs import DataFile, RunDirectory, read_file, read_origin, retry_read, write_durably, write_origin

from ._config_errors import ConfigError, Problem
from ._signature import signature_of

_log = logging.getLogger("simplexity")
# What a run computes from. Loggers and checkpoints may change when a run is resumed, and name places to write to.
_SECTIONS = ("training_data_generator", "validation_data_generator", "predictive_model", "training")
_FOLDER = "data"


def keep_data_files(
    config: DictConfig,
    directory: RunDirectory,
    wait: Callable[[float], bool],
    require_held: Callable[[], object] = lambda: None,
) -> DictConfig:
    """Copies each file that the config names into the run directory, at the run's first start.

    A file is what a parameter annotated with `pathlib.Path` names. Only the process that holds the run's lock may
    call this.

    Args:
        config: The run's.
        directory: The run's.
        wait: Sleeps between tries at reading; see `retry_read`.
        require_held: As in `write_durably`.

    Returns:
        The config with the copies in the files' place.

    Raises:
        ConfigError: If a file has changed since then, and `persistence.resume` is strict.
        RuntimeError: If a file cannot be read, or a copy is not what was copied.
    """
    origin = retry_read(lambda: read_origin(directory.origin_path), wait)
    kept = dict(origin.files)
    for key, path in _named_files(OmegaConf.to_container(config, resolve=True)):
        try:
            content = retry_read(lambda path=path: read_file(path), wait)
        except (FileNotFoundError, NotADirectoryError):
            content = None
        digest = None if content is None else hashlib.sha256(content).hexdigest()
        if key in kept:
            _check_copy(directory, kept[key], wait)
            if digest not in (None, kept[key].sha256):
                _refuse_or_warn(config, key, path)
        elif content is not None and digest is not None:
            copy = f"{_FOLDER}/{digest[:16]}-{path.name}"
            (directory.path / _FOLDER).mkdir(exist_ok=True)
            write_durably(directory.path / copy, content, require_held)
            kept[key] = DataFile(str(path), digest, copy)
    if kept != origin.files:
        write_origin(directory.origin_path, replace(origin, files=kept), require_held)
    return with_kept_files(config, directory)


def with_kept_files(config: DictConfig, directory: RunDirectory) -> DictConfig:
    """The config with the run's copies in the place of the files that it names.

    Args:
        config: The run's, frozen.
        directory: The run's; before its first start it has no copies, and the config is returned as it is.

    Raises:
        UnreadableError: If the record of the copies cannot be read.
        RuntimeError: If it holds something else.
    """
    files = retry_read(lambda: read_origin(directory.origin_path)).files
    if not files:
        return config
    values: Any = OmegaConf.to_container(config, resolve=True)
    for key, file in files.items():
        *parents, name = key.split(".")
        section = values
        for part in parents:
            section = section[int(part) if isinstance(section, list) else part]
        section[name] = str(directory.path / file.copy)
    return DictConfig(values)


def _named_files(values: Any) -> Iterator[tuple[str, Path]]:
    for name in _SECTIONS:
        yield from _files_within(values.get(name), name)


def _files_within(value: Any, key: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _files_within(entry, f"{key}.{index}")
    if not isinstance(value, Mapping):
        return
    parameters = signature_of(value["_target_"]).parameters if "_target_" in value else {}
    for name, entry in value.items():
        annotation = parameters[name].annotation if name in parameters else None
        if isinstance(entry, str) and Path in (annotation, *typing.get_args(annotation)):
            yield f"{key}.{name}", Path(entry)
        yield from _files_within(entry, f"{key}.{name}")


def _check_copy(directory: RunDirectory, file: DataFile, wait: Callable[[float], bool]) -> None:
    copy = directory.path / file.copy
    try:
        content = retry_read(lambda: read_file(copy), wait)
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise RuntimeError(f"{copy}, this run's copy of {file.path}, is gone or was changed: restore it from a copy")


def _refuse_or_warn(config: DictConfig, key: str, path: Path) -> None:
    changed = f"{path} has changed since this run began"
    if config.persistence.resume == "strict":
        message = f"{changed}, and `persistence.resume` is strict; restore the file, or set auto to use the run's copy"
        raise ConfigError([Problem(key, message)])
    _log.warning("%s; the run uses its own copy", changed)
