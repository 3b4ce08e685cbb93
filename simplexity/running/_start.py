"""What happens between composing and the first byte on disk: the config is checked, and the run directory claimed.

Hydra makes the output directory before it calls the task, so the check is a callback. A callback's exceptions only
become warnings; leaving the process from one does leave it.
"""

import itertools
import logging
import sys
import traceback
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
    describe_error,
    load_frozen,
    make_importable,
    refuse_changes,
    rewrite_keys,
    set_environment,
)
from simplexity.runs import ExitCode, RunDirectory, error_text

_log = logging.getLogger(__name__)
_made_folders: list[Path] = []


class StartCheck(Callback):
    """Refuses a config with mistakes before anything is written."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing():
            make_importable(config.hydra)
            _set_environment(config)
            _raise(check(config))
            _log.info("starting: JAX is being loaded")
            # All import jax, which mistakes that need no jax to find do not wait for, and which reads the environment.
            from ._build import build
            from ._devices import share_among_devices, start_jax
            from ._weights import require_weights

            directory = RunDirectory(Path(config.hydra.run.dir))
            start_jax(config, directory)
            experiment = build(config)
            share_among_devices(config)
            if not directory.config_path.is_file():
                require_weights(config, experiment, Path(config.hydra.run.dir))
            run_dir = _run_directory(config, "run")
            if RunDirectory(run_dir).config_path.is_file():
                refuse_changes(load_frozen(run_dir), config)
        with read_write(config), open_dict(config):
            config.hydra.run.dir = str(run_dir)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _refusing():
            make_importable(config.hydra)
            _rename_parameters(config)
            _raise(check_sweep(config))
            sweep_dir = _run_directory(config, "sweep")
        with read_write(config), open_dict(config):
            if str(sweep_dir) != config.hydra.sweep.dir:
                config.hydra.sweep.dir = str(sweep_dir)
                # Each run of the sweep is composed again, from the overrides alone.
                quoted = QuotedString(str(sweep_dir), Quote.single).with_quotes()
                config.hydra.overrides.hydra.append(f"hydra.sweep.dir={quoted}")


@contextmanager
def _refusing() -> Iterator[None]:
    """Leaves the process with what is raised inside: Hydra would warn of it, and go on to run what was refused."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, ConfigError | RuntimeError | OSError):
            traceback.print_exception(error)
        sys.stderr.write(f"{error_text(describe_error(error), sys.stderr)}\n")
        raise SystemExit(ExitCode.BAD_CONFIG if isinstance(error, ConfigError) else ExitCode.FAILED) from error


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


def _rename_parameters(config: DictConfig) -> None:
    parameters = OmegaConf.select(config, "hydra.sweeper.params")
    if parameters:
        with read_write(config), open_dict(config):
            config.hydra.sweeper.params = rewrite_keys(OmegaConf.to_container(parameters))  # pyright: ignore


def _run_directory(config: DictConfig, kind: Literal["run", "sweep"]) -> Path:
    """Makes the run's or the sweep's directory.

    A directory named by the time is a new one: where another start of the same second made it, a number is added. One
    that is named in any other way may exist, and its run goes on.
    """
    section = config.hydra[kind]
    template = OmegaConf.to_container(section, resolve=False)["dir"]  # pyright: ignore
    directory = Path(section.dir).absolute()
    _made_folders.extend(folder for folder in reversed([directory, *directory.parents]) if not folder.exists())
    try:
        if "${now:" in str(template):
            directory = _make_new(directory)
        return RunDirectory.create(directory).path
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
