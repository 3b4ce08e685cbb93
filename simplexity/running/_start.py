"""What happens between composing and the first byte on disk: the config is checked and built, and the folder claimed.

Hydra makes the run's folder before it calls the task, so `StartCheck` is a callback. Hydra turns a callback's errors
into warnings and continues; only ending the process from a callback ends it.
"""

import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from simplexity.cluster import step_tasks
from simplexity.composition import (
    ConfigError,
    Problem,
    check,
    check_sweep,
    load_frozen,
    make_importable,
    refuse_changes,
    rewrite_keys,
    set_environment,
)
from simplexity.runs import RunDirectory, UnreadableError, is_there

from ._failures import report
from ._unreadable import start_once_more

_log = logging.getLogger(__name__)
_made_folders: list[Path] = []


class StartCheck(Callback):
    """Refuses a config with mistakes before anything is written, and builds the run once, for the check and the task.

    `_entrypoint` names it to Hydra, which calls `on_run_start` for one run, or `on_multirun_start` for a sweep, then
    makes the folder, then calls `on_job_start` and the task.
    """

    def __init__(self):
        self._built: Any = None

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing():
            make_importable(config.hydra)
            _set_environment(config)
            _raise([*_problems_with_name(config), *check(config)])
            _log.info("starting: JAX is being loaded")
            try:
                self._built = _build(config)
                run_dir = _run_directory(config, "run")
                if is_there(RunDirectory(run_dir).config_path):
                    refuse_changes(load_frozen(run_dir), config)
            except UnreadableError as error:
                note = RunDirectory(Path(config.hydra.run.dir).absolute()).unreadable_path
                raise SystemExit(start_once_more(note, error, stop_requested=False)) from error
        with read_write(config), open_dict(config):
            config.hydra.run.dir = str(run_dir)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing():
            make_importable(config.hydra)
            _rename_parameters(config)
            _raise([*_problems_with_name(config), *check_sweep(config)])
            sweep_dir = _run_directory(config, "sweep")
        with read_write(config), open_dict(config):
            if str(sweep_dir) != config.hydra.sweep.dir:
                config.hydra.sweep.dir = str(sweep_dir)
                # Each run of the sweep is composed again, from the overrides alone.
                quoted = QuotedString(str(sweep_dir), Quote.single).with_quotes()
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted}")

    def on_job_start(self, config: DictConfig, *, task_function: Any, **kwargs: Any) -> None:
        """Hands what was built to the task."""
        task_function.built = self._built


def check_by_building(config: DictConfig) -> list[Problem]:
    """What only sections together get wrong: the model's shapes, the two generators' tokens.

    JAX is imported by the call, and uses the CPU in this process from then on: a GPU, where this machine has one, and
    its memory are for the runs.

    Args:
        config: A config in which `check` found no mistake.
    """
    import jax

    from ._build import build

    jax.config.update("jax_platforms", "cpu")
    try:
        build(config)
    except ConfigError as error:
        return list(error.problems)
    return []


def _build(config: DictConfig) -> Any:
    """Builds what the run computes with, without computing anything yet.

    Raises:
        ConfigError: With a mistake that no section of the config shows alone.
    """
    # All import jax, which mistakes that need no jax to find do not wait for, and which reads the environment.
    from ._build import build
    from ._devices import share_among_devices, start_jax
    from ._weights import require_weights

    directory = RunDirectory(Path(config.hydra.run.dir))
    start_jax(config, directory)
    experiment = build(config)
    share_among_devices(config)
    if not is_there(directory.config_path):
        require_weights(config, experiment, Path(config.hydra.run.dir))
    return experiment


@contextmanager
def _refusing() -> Iterator[None]:
    """Ends the process with what is raised inside: Hydra would warn of it, and then run what was refused."""
    try:
        yield
    except Exception as error:
        raise SystemExit(report(error)) from error


def _set_environment(config: DictConfig) -> None:
    if config.hydra.job.env_set and step_tasks() is not None:
        message = "comes too late for the tasks of a job step: export the variables in the batch script, or use a sweep"
        raise ConfigError([Problem("hydra.job.env_set", message)])
    set_environment(config.hydra)


def remove_empty_folders() -> None:
    """Removes the folders that this command made and wrote nothing into. Empty folders that were there before stay."""
    while _made_folders:
        with suppress(OSError):
            _made_folders.pop().rmdir()


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        raise ConfigError(problems)


def _problems_with_name(config: DictConfig) -> list[Problem]:
    name = config.hydra.job.name
    return [Problem("hydra.job.name", f"names the run's log and cannot have a `/`, got {name}")] if "/" in name else []


def _rename_parameters(config: DictConfig) -> None:
    parameters, groups = (OmegaConf.select(config, f"hydra.sweeper.{name}") for name in ("params", "zip"))
    with read_write(config), open_dict(config):
        if parameters:
            config.hydra.sweeper.params = rewrite_keys(OmegaConf.to_container(parameters))  # pyright: ignore
        if OmegaConf.is_list(groups) and all(map(OmegaConf.is_list, groups)):
            config.hydra.sweeper.zip = [list(rewrite_keys(dict.fromkeys(map(str, group)))) for group in groups]


def _run_directory(config: DictConfig, kind: Literal["run", "sweep"]) -> Path:
    """Makes the run's or the sweep's directory.

    A directory named by the time is a new one: where another start of the same second made it, a number is added. One
    that is named in any other way may exist, and its run is resumed.
    """
    section = config.hydra[kind]
    template = OmegaConf.to_container(section, resolve=False)["dir"]  # pyright: ignore
    if not section.dir:
        raise ConfigError([Problem(f"hydra.{kind}.dir", "is empty: name a folder, or `.` for this one")])
    directory = Path(section.dir).absolute()
    _made_folders.extend(folder for folder in reversed([directory, *directory.parents]) if not is_there(folder))
    try:
        if "${now:" in str(template):
            directory = _make_new(directory)
        return RunDirectory.create(directory).path
    except UnreadableError:
        raise
    except (OSError, RuntimeError) as error:
        raise ConfigError([Problem(f"hydra.{kind}.dir", f"{error}")]) from error


def _make_new(wanted: Path) -> Path:
    for number in itertools.count(1):
        directory = wanted if number == 1 else wanted.with_name(f"{wanted.name}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            continue
        _made_folders.append(directory)
        return directory
    raise AssertionError("an endless count ended")
