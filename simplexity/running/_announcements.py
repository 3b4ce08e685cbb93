"""The lines that a run prints for people before its first step and after its last one."""

import logging
from collections.abc import Sequence
from pathlib import Path

import equinox as eqx
import jax
from omegaconf import DictConfig

from simplexity.host import num_usable_cores
from simplexity.predictive_models import PredictiveModel
from simplexity.runs import RunDirectory, counted
from simplexity.sweeps import display_path
from simplexity.training import DataParallel

_log = logging.getLogger("simplexity")


def announce_start(
    directory: RunDirectory, config: DictConfig, model: PredictiveModel, parallel: DataParallel | None
) -> None:
    """Logs what is trained on what, on which devices and in which folder, and what happens before the first step.

    Args:
        directory: The run's.
        config: Its config.
        model: Its model.
        parallel: The devices that it trains on; None for one.
    """
    process = _short_target(config.training_data_generator)
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
    described = f"{_short_target(config.predictive_model)}, {num_parameters:,} parameters"
    _log.info("%s | %s | %s | %s", process, described, _devices(parallel), display_path(directory.path))
    _log.info("compiling the training step; the first start of a model takes longest")


def announce_end(directory: RunDirectory, figures: Sequence[Path], analysis: str | None) -> None:
    """Logs where everything is, for people to open.

    Args:
        directory: The run's.
        figures: What was drawn, all in one folder.
        analysis: The result of its last analysis; None if there is none.
    """
    _log.info("folder:  %s", display_path(directory.path))
    if figures:
        _log.info("figures: %s", display_path(figures[0].parent))
    if analysis is not None:
        _log.info("beliefs: %s", analysis)


def _short_target(section: DictConfig) -> str:
    return str(section.instance._target_).rpartition(".")[2]


def _devices(parallel: DataParallel | None) -> str:
    kind = jax.devices()[0].device_kind
    count = 1 if parallel is None else parallel.num_devices
    if kind == "cpu":
        cores = num_usable_cores()
        return f"CPU, {counted(cores, 'core')}"
    return kind if count == 1 else f"{count} x {kind}"
