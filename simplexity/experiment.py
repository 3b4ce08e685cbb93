"""Finished and running experiments in Python: `load_run` and `load_sweep` open their folders."""

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig, OmegaConf

from simplexity.composition import ConfigError, Problem, load_frozen
from simplexity.generative_processes import DataGenerator, GenerativeProcess, LossOptimum, loss_optimum
from simplexity.persistence import (
    copy_to_host,
    read_model,
    saved_step,
    saved_steps,
    snapshot_steps,
    write_weights,
)
from simplexity.predictive_models import PredictiveModel, to_transformer_lens
from simplexity.running import reopen
from simplexity.runs import RunDirectory, read_json_lines
from simplexity.sweeps import SweepDirectory, read_status, results_rows

if TYPE_CHECKING:
    from simplexity.running import Experiment


class Run:
    """A run's folder, opened to look at; nothing is written, and the run may still be going.

    Args:
        path: The folder.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).resolve()
        self._directory = RunDirectory(self.path)

    @cached_property
    def config(self) -> DictConfig:
        """What the run was started with, every value resolved.

        Raises:
            ConfigError: If there is no run in the folder.
        """
        return load_frozen(self.path)

    @cached_property
    def _experiment(self) -> "Experiment":
        return reopen(self.path)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The logged lines, a dict each, as many as there are by now."""
        return read_json_lines(self._directory.metrics_path)

    @property
    def analysis(self) -> list[dict[str, Any]]:
        """The lines of analysis.jsonl, a dict per analysed step: belief regressions, controls, your own functions."""
        return read_json_lines(self._directory.analysis_path)

    @property
    def saved_steps(self) -> list[int]:
        """The steps whose model can be had by now, from a checkpoint or a snapshot."""
        return saved_steps(self._directory)

    @property
    def snapshots(self) -> list[int]:
        """Those of `saved_steps` that are kept for good: the steps of `persistence.snapshots` by now."""
        return snapshot_steps(self._directory.snapshots_path)

    @property
    def generator(self) -> DataGenerator:
        """The process with its special tokens: what the model's vocabulary is made of."""
        return self._experiment.generator

    @property
    def process(self) -> GenerativeProcess:
        """What the training data are drawn from."""
        return self.generator.process

    @cached_property
    def optimum(self) -> LossOptimum:
        """The best possible loss: of the validation, or of training in a run without one."""
        experiment = self._experiment
        length = experiment.settings.sequence_len
        if experiment.validation is not None:
            return loss_optimum(experiment.validation_generator, length)
        return loss_optimum(experiment.generator, length, carry_state=experiment.settings.carry_state)

    def model(self, step: int | Literal["best"] | None = None) -> PredictiveModel:
        """The model as it was saved.

        Args:
            step: One of `saved_steps`; "best" for the one with the lowest validation loss, which
                `persistence.instance.keep_best` keeps; None for the newest.

        Raises:
            ValueError: If that step was not saved.
            RuntimeError: If what was saved is corrupt.
        """
        return read_model(self._directory, self._experiment.model_shapes(), step)

    def untrained_model(self) -> PredictiveModel:
        """The model as the run initialised it, before any training and before any weights that it loaded."""
        return self._experiment.initial_state().model

    def export(
        self,
        path: str | Path,
        step: int | Literal["best"] | None = None,
        *,
        layout: Literal["simplexity", "transformer_lens"] = "simplexity",
    ) -> Path:
        """Writes the weights of a saved step as safetensors.

        Args:
            path: The file to write.
            step: One of `saved_steps`; "best" for the one with the lowest validation loss, which
                `persistence.instance.keep_best` keeps; None for the newest.
            layout: "simplexity" names each array by its place in the model, as a snapshot does. "transformer_lens"
                gives a transformer's parameters the names and shapes of TransformerLens; the arguments of its
                `HookedTransformerConfig` are in the file's metadata, as JSON under `config`.

        Returns:
            `path`.

        Raises:
            ValueError: If that step was not saved, there is no such layout, or the model is no transformer.
            OSError: If the file cannot be written.
        """
        if layout not in ("simplexity", "transformer_lens"):
            raise ValueError(f"`layout` must be simplexity or transformer_lens, got {layout!r}")
        step = saved_step(self._directory, step)
        model, metadata = self.model(step), {}
        if layout == "transformer_lens":
            config, arrays = to_transformer_lens(model, self._experiment.settings.sequence_len)
            metadata = {"config": json.dumps(config)}
        else:
            arrays = copy_to_host(model)
        model_config = OmegaConf.to_container(self.config.predictive_model.instance)
        write_weights(Path(path), arrays, step, model_config, metadata=metadata)
        return Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"


class Sweep:
    """A sweep's folder, opened to look at.

    Args:
        path: The folder.

    Raises:
        ConfigError: If there is no sweep in it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).resolve()
        if problem := SweepDirectory.problem(self.path, for_one_run="open it with load_run"):
            raise ConfigError([Problem(str(self.path), problem)])
        self._directory = SweepDirectory(self.path)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row of plain values for every run, as `simplexity results` prints them: for pandas, or polars."""
        rows = results_rows(self._directory, read_status(self._directory))
        return [{name: _value(entry) for name, entry in row.items()} for row in rows]

    @property
    def runs(self) -> list[Run]:
        """The runs in the order of their numbers."""
        return [Run(self._directory.run_directory(run).path) for run in self._directory.read_manifest().runs]

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r})"


def load_run(path: str | Path) -> Run:
    """Opens a run's folder.

    Args:
        path: The folder, absolute or relative; the run may still be going.

    Raises:
        ConfigError: If there is no run in it.

    Example:
        >>> import jax.numpy as jnp
        >>> import simplexity as sx
        >>> run = sx.load_run("outputs/2026-11-26/10-00-00")
        >>> logits, activations = run.model().forward(jnp.array([[0, 1, 2, 0]]))
        >>> logits.shape
        (1, 4, 3)
        >>> list(activations)
        ['layer_0']
    """
    run = Run(path)
    run.config  # noqa: B018  where there is no run, this says so
    return run


def load_sweep(path: str | Path) -> Sweep:
    """Opens a sweep's folder.

    Args:
        path: The folder, absolute or relative; its runs may still be going.

    Raises:
        ConfigError: If there is no sweep in it.

    Example:
        >>> import simplexity as sx
        >>> sweep = sx.load_sweep("multirun/2026-11-26/10-00-00")
        >>> [row["seed"] for row in sweep.rows]
        [0, 1]
        >>> len(sweep.runs)
        2
    """
    return Sweep(path)


def _value(typed: Any) -> Any:
    """An override's value, which the manifest has as it was typed, as a number where it is one."""
    for number in (int, float) if isinstance(typed, str) else ():
        try:
            return number(typed)
        except ValueError:
            continue
    return typed
