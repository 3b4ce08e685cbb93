"""All pictures of a run, from the files in its folder."""

from pathlib import Path

from simplexity.runs import RunDirectory, read_json_lines

from ._attention import draw_attention
from ._belief_regression import draw_belief_regression, draw_explained_variance
from ._belief_states import draw_belief_states, read_belief_states
from ._factors import draw_factor_overlaps, draw_targets
from ._loss_curve import draw_kl_by_position, draw_loss_curve
from ._over_training import draw_analysis_over_training, draw_functions, draw_own_metrics


def draw_run(directory: RunDirectory) -> list[Path]:
    """Draws what a run's files have by now, which may still be growing, into its folder `figures`.

    Args:
        directory: The run's.

    Returns:
        The PNGs; beside each there is an SVG.

    Raises:
        RuntimeError: If a file of the run cannot be read.
        OSError: If a figure cannot be written.
    """
    folder = directory.figures_path
    drawn: list[Path | None] = []
    lines = read_json_lines(directory.metrics_path)
    analyses = {line["step"]: line for line in read_json_lines(directory.analysis_path)}
    if lines:
        drawn.append(draw_loss_curve(lines, folder / "loss.png"))
    drawn.append(draw_own_metrics(lines, folder / "validation_functions.png"))
    drawn.append(draw_kl_by_position(lines, list(analyses.values()), folder / "kl_by_position.png"))
    states = read_belief_states(directory.belief_states_path)
    if states is not None:
        regressions = analyses[states.step]["regressions"] if states.step in analyses else []
        r2 = {row["features"]: row["r2"] for row in regressions if row["kind"] == "trained"}
        drawn.append(draw_belief_states(states, r2, folder / "belief_states.png"))
    if analyses:
        newest = analyses[max(analyses)]
        drawn.append(draw_belief_regression(newest, folder / "belief_regression.png"))
        drawn.append(draw_explained_variance(newest, folder / "explained_variance.png"))
        drawn.append(draw_targets(newest, folder / "targets.png"))
        drawn.append(draw_factor_overlaps(newest, folder / "factor_overlaps.png"))
        drawn.append(draw_attention(newest, folder / "attention.png"))
        in_order = [analyses[step] for step in sorted(analyses)]
        drawn.append(draw_analysis_over_training(in_order, folder / "analysis_over_training.png"))
        drawn.append(draw_functions(in_order, folder / "analysis_functions.png"))
    return [path for path in drawn if path is not None]
