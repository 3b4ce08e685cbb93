"""Looking at a run that is there: what it computes with, built again from its folder, and its saved models analysed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from simplexity.composition import ConfigError, check, load_frozen, restore_surroundings, with_kept_files
from simplexity.runs import RunDirectory, read_json_lines, write_durably

if TYPE_CHECKING:
    from ._build import Experiment


def reopen(run_dir: Path) -> "Experiment":
    """The objects that the frozen config of a run describes; writes nothing.

    JAX is imported by the call. A config is code: what its `_target_`s name is executed.

    Args:
        run_dir: The run's folder, which may belong to a run that is still going.

    Raises:
        ConfigError: If there is no run in the folder, or its config cannot be built any more.
        UnreadableError: If a file cannot be read.
    """
    from ._build import build

    config = load_frozen(run_dir)
    restore_surroundings(run_dir, environment=False)
    config = with_kept_files(config, RunDirectory(run_dir))
    if problems := check(config):
        raise ConfigError(problems)
    return build(config)


def analyze_run(
    run_dir: Path,
    *,
    every_step: bool = False,
    length: int | None = None,
    also_without_bos: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
) -> list[Path] | None:
    """Looks for belief states in the activations of saved models, and draws the run's pictures.

    Args:
        run_dir: The run's folder.
        every_step: Whether to analyse every saved step, and not only the newest.
        length: Tokens of the longest words; None for what the run's config says, or else the default.
        also_without_bos: Whether to analyse the model also as it reads the words without BOS.
        interrupted: Called between regressions.

    Returns:
        The pictures; None if it was interrupted.

    Raises:
        ConfigError: If there is no run in the folder, or its config cannot be built any more.
        ValueError: If nothing was saved, or `length` is below 1.
        RuntimeError: If a checkpoint or a snapshot is corrupt.
    """
    from simplexity.analysis import AnalysisSettings
    from simplexity.persistence import newest_saved_step, read_model, saved_steps

    from ._analysis import Analysis

    directory = RunDirectory(run_dir.absolute())
    experiment = reopen(directory.path)
    settings = experiment.analysis or AnalysisSettings()
    settings = replace(
        settings,
        length=settings.length if length is None else length,
        also_without_bos=settings.also_without_bos or also_without_bos,
    )
    analysis = Analysis(directory, experiment, settings)
    for step in saved_steps(directory) if every_step else [newest_saved_step(directory)]:
        model = read_model(directory, experiment.model_shapes(), step)
        if not analysis.analyze(step, model, interrupted):
            return None
        print(f"step {step:,}: {analysis.summary}")
        if analysis.summary_without_bos is not None:
            print(f"step {step:,}, without BOS: {analysis.summary_without_bos}")
    # Importing matplotlib takes longer than drawing.
    from simplexity.figures import draw_run

    return draw_run(directory)


def restore_belief_states(run_dir: Path, *, interrupted: Callable[[], bool] = lambda: False) -> bool:
    """Computes belief_states.npz of the newest analysed step again, which a compact run does not keep.

    Args:
        run_dir: The run's folder; its analysis.jsonl stays as it is.
        interrupted: Called between regressions.

    Returns:
        Whether it was done; False if it was interrupted.

    Raises:
        ConfigError: If the run's config cannot be built any more.
        ValueError: If the model of that step is not kept.
        RuntimeError: If a file of the run is corrupt.
    """
    from simplexity.analysis import (
        AnalysisInterruptedError,
        AnalysisSettings,
        BeliefRegressor,
        RegressionProblem,
        belief_states_npz,
    )
    from simplexity.persistence import read_model

    directory = RunDirectory(run_dir.absolute())
    newest = max(read_json_lines(directory.analysis_path), key=lambda line: line["step"])
    experiment = reopen(directory.path)
    max_words = (experiment.analysis or AnalysisSettings()).max_words
    model = read_model(directory, experiment.model_shapes(), newest["step"])
    try:
        problem = RegressionProblem(experiment.generator, newest["length"], max_words=max_words)
        found = BeliefRegressor(problem)(model, interrupted)
    except AnalysisInterruptedError:
        return False
    write_durably(directory.belief_states_path, belief_states_npz(found, newest["step"]))
    return True
