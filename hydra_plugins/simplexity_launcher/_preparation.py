"""What all launchers do before anything is written: compose and check every run, whose config is frozen."""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from omegaconf import DictConfig

import simplexity
from simplexity.composition import ConfigError, Problem, config_hash
from simplexity.runs import RunDirectory, counted
from simplexity.sweeps import Launch, Manifest, SweepRun, describe

from ._composer import RunComposer
from ._run_check import RunCheck
from ._yaml_text import yaml_pieces

# What only Hydra and the launcher need of an override: the group of a data generator, and the cluster.
_GROUP = re.compile(r"^([+~]*)generative_process@")
_CLUSTER = re.compile(r"^[+~]*cluster@")


class PreparedRun(NamedTuple):
    """A run with a valid config.

    Attributes:
        run: Its entry in the manifest.
        config: Its frozen config, in pieces that runs have in common: the configs of a hundred thousand runs would take
            500 MB.
        hydra_text: Hydra's section as YAML; None if the sweep's own says all that a start of the run needs.
    """

    run: SweepRun
    config: tuple[str, ...]
    hydra_text: str | None

    @property
    def files(self) -> dict[str, str]:
        """The text of its files, by their names in the run directory."""
        files = {RunDirectory(Path()).config_path.name: "".join(self.config)}
        return files if self.hydra_text is None else files | {".hydra/hydra.yaml": self.hydra_text}


def prepare(
    loader: ConfigLoader,
    config: DictConfig,
    batch: Sequence[Sequence[str]],
    first_index: int,
    interrupted: Callable[[], bool],
    num_processes: int = 1,
) -> list[PreparedRun]:
    """Composes and checks the runs; writes nothing.

    Args:
        loader: Hydra's loader.
        config: The sweep's config.
        batch: Overrides of each run.
        first_index: Index of the first.
        interrupted: Whether a stop was requested.
        num_processes: Processes of each run.

    Raises:
        ConfigError: With every mistake in any of them.
        SystemExit: If a stop was requested; nothing was begun.
    """
    setup_globals()
    composer, check = RunComposer(loader, config), RunCheck(num_processes)
    prepared: list[PreparedRun] = []
    mistakes: dict[Problem, list[str]] = {}
    found = HydraConfig.instance().cfg
    try:
        for index, overrides in enumerate(batch, start=first_index):
            if interrupted():
                raise SystemExit(1)
            name = f"#{index} {describe(typed(overrides))}"
            try:
                composed = composer.compose(overrides, index)
            except HydraException as error:
                cause = error.__cause__ or error
                mistakes.setdefault(Problem("overrides", str(cause).splitlines()[0]), []).append(name)
                continue
            values, problems = check(composed.config)
            for problem in problems:
                mistakes.setdefault(problem, []).append(name)
            if problems:
                continue
            run = SweepRun(
                index=index,
                overrides=tuple(typed(overrides)),
                config_hash=config_hash(values),
                directory=composed.directory,
                num_train_steps=values["training"]["num_train_steps"],
            )
            prepared.append(PreparedRun(run, yaml_pieces(values), composed.hydra_text))
    finally:
        HydraConfig.instance().cfg = found
    if mistakes:
        raise ConfigError([_of_runs(problem, names, len(batch)) for problem, names in mistakes.items()])
    for folder in (one.run.directory for one in prepared):
        if Path(folder).is_absolute() or ".." in Path(folder).parts:
            message = f"must stay within the sweep's folder, got {folder}; to choose that one: hydra.sweep.dir=FOLDER"
            raise ConfigError([Problem("hydra.sweep.subdir", message)])
    by_folder = {one.run.directory: one.run.index for one in prepared}
    if len(by_folder) < len(prepared):
        folder = next(one.run.directory for one in prepared if by_folder[one.run.directory] != one.run.index)
        message = f"must tell the runs apart, but is '{folder}' for several; add ${{hydra.job.num}} to it"
        raise ConfigError([Problem("hydra.sweep.subdir", message)])
    return prepared


def typed(overrides: Sequence[str]) -> list[str]:
    """A run's overrides as a person would type them, without the cluster that it happens to run on."""
    return [_GROUP.sub(r"\1", override) for override in overrides if not _CLUSTER.match(override)]


def new_manifest(config: DictConfig, launch: Launch, runs: Sequence[SweepRun]) -> Manifest:
    """The manifest of a sweep that begins with these runs."""
    return Manifest(
        program=config.hydra.job.name,
        config_name=config.hydra.job.config_name,
        created=round(time.time(), 3),
        version=simplexity.__version__,
        working_folder=config.hydra.runtime.cwd,
        launch=launch,
        runs=tuple(runs),
    )


def _of_runs(problem: Problem, names: Sequence[str], num_runs: int) -> Problem:
    """The problem with the runs that have it."""
    if num_runs == 1:
        return problem
    others = f" and {counted(len(names) - 1, 'more run')}" if len(names) > 1 else ""
    return Problem(problem.path, f"{problem.message} (run {names[0]}{others})")
