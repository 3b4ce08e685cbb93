"""Writing a batch of runs that were found valid: their folders with the frozen configs, and then the manifest.

The compute nodes read the frozen configs, so that a YAML edited between submission and start changes nothing.
"""

import logging
import os
from collections.abc import Sequence
from dataclasses import replace

from omegaconf import DictConfig, OmegaConf

from simplexity.composition import ConfigError, Problem
from simplexity.runs import RunDirectory, counted, is_there, write_durably
from simplexity.sweeps import Launch, Manifest, SlurmLaunch, SweepDirectory, SweepRun, in_threads, require_own

from ._extension import extend_runs, longer_runs
from ._preparation import PreparedRun, new_manifest

_log = logging.getLogger(__name__)
_PRIVATE = 0o600


def register(sweep: SweepDirectory, config: DictConfig, launch: Launch, prepared: Sequence[PreparedRun]) -> Manifest:
    """Writes the runs' directories, and then the manifest that counts them in. This process has locked the sweep.

    Runs that the sweep has already stay as they are: the same command in the same folder resumes them. With a larger
    number of steps it extends them. What is submitted now, or by `retry` later, has SLURM's settings of this command.

    Raises:
        ConfigError: If the sweep, or a run directory, is that of other runs.
        RuntimeError: If a file cannot be written.
    """
    try:
        return _write_sweep(sweep, config, launch, prepared)
    except OSError as error:
        raise RuntimeError(
            f"the sweep's folder {sweep.path} cannot be written: {error.strerror}; nothing was started, and the same "
            "command resumes the sweep once that is mended"
        ) from error


def _write_sweep(
    sweep: SweepDirectory, config: DictConfig, launch: Launch, prepared: Sequence[PreparedRun]
) -> Manifest:
    runs = [one.run for one in prepared]
    found = None
    if is_there(sweep.manifest_path):
        require_own(sweep)
        found = sweep.read_manifest()
    manifest = new_manifest(config, launch, runs) if found is None else _extended(found, launch, runs)
    if found is None:
        write_durably(sweep.multirun_path, OmegaConf.to_yaml(config), mode=_PRIVATE)
    longer = [] if found is None else longer_runs(found, prepared)
    extend_runs(sweep, longer)
    known = set() if found is None else {run.index for run in found.runs}
    new = [one for one in prepared if one.run.index not in known]
    for _ in in_threads(lambda one: _write(sweep.run_directory(one.run), one.files), new):
        pass  # raises what a thread has raised
    if longer:
        _log.info("extending %s to %d steps", counted(len(longer), "run"), longer[0].run.num_train_steps)
    if found is None or longer or manifest.launch != found.launch:
        sweep.write_manifest(manifest)
    elif new:
        sweep.add_runs(manifest, [one.run for one in new])
    return manifest


def _extended(manifest: Manifest, launch: Launch, runs: Sequence[SweepRun]) -> Manifest:
    before = manifest.launch
    if isinstance(before, SlurmLaunch) and isinstance(launch, SlurmLaunch):
        if _image(launch) == _image(before):
            # An image that has changed is refused, whatever else is new: see `retry --changed-image`.
            launch = replace(launch, image_digest=before.image_digest)
        manifest = replace(manifest, launch=launch)
    try:
        return manifest.extended(runs)
    except ValueError as error:
        raise ConfigError([Problem("hydra.sweep.dir", f"names a sweep that these runs do not fit: {error}")]) from None


def _image(launch: SlurmLaunch) -> tuple[str, str] | None:
    container = launch.profile.container
    return None if container is None else (container.runtime, container.image)


def _write(directory: RunDirectory, files: dict[str, str]) -> None:
    frozen = files[directory.config_path.name]
    if is_there(directory.config_path) and directory.config_path.read_text(encoding="utf-8") != frozen:
        message = f"{directory.path} holds another run; choose another folder for the sweep"
        raise ConfigError([Problem("hydra.sweep.dir", message)])
    directory.path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if name != directory.config_path.name:
            (directory.path / name).parent.mkdir(exist_ok=True)
            # Hydra's section has the cluster's profile, and with it the values of variables.
            with open(directory.path / name, "w", encoding="utf-8", opener=_open_privately) as file:
                file.write(text)
    # Last: a directory with a frozen config is a run.
    write_durably(directory.config_path, frozen)


def _open_privately(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, _PRIVATE)
