"""The picture of a run: its loss against the best possible one, over training and over the positions of a sequence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simplexity.generative_processes import LossOptimum
from simplexity.runs import optimum_text

_TRAINING, _VALIDATION, _OPTIMUM = "#9ecae1", "#08519c", "#d94801"


def draw_loss_curve(lines: Sequence[dict[str, Any]], optimum: LossOptimum, path: Path) -> None:
    """Draws loss over steps, excess over steps, and, if the run was validated, loss over positions.

    Args:
        lines: The logged lines of a run, in order.
        optimum: The best possible loss of the validation, or of training without one.
        path: The PNG to write.
    """
    # Not by pyplot, which would choose a backend and keep the figure alive.
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    loss, excess, positions = figure.subplots(1, 3)
    _draw_loss(loss, lines, optimum)
    _draw_excess(excess, lines)
    _draw_positions(positions, lines, optimum.per_position)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _series(lines: Sequence[dict[str, Any]], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of the lines that have a number under `name`."""
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _draw_loss(axes: Axes, lines: Sequence[dict[str, Any]], optimum: LossOptimum) -> None:
    axes.plot(*_series(lines, "loss"), color=_TRAINING, label="training")
    axes.plot(*_series(lines, "validation_loss"), color=_VALIDATION, marker=".", label="validation")
    label = f"optimum {optimum_text(optimum.nats, optimum.error_nats, digits=4)}"
    axes.axhline(optimum.nats, color=_OPTIMUM, linestyle="--", label=label)
    axes.set(xlabel="step", ylabel="loss (nats per token)", title="Loss")
    axes.legend(frameon=False)


def _draw_excess(axes: Axes, lines: Sequence[dict[str, Any]]) -> None:
    # A sampled loss may be below the optimum by chance; a logarithm shows what is above.
    axes.plot(*_series(lines, "excess"), color=_TRAINING, label="training loss − optimum")
    axes.plot(*_series(lines, "validation_kl"), color=_VALIDATION, marker=".", label="validation KL divergence")
    axes.set_yscale("log", nonpositive="mask")
    axes.set(xlabel="step", ylabel="excess (nats per token)", title="Distance to the optimum")
    axes.legend(frameon=False)


def _draw_positions(
    axes: Axes, lines: Sequence[dict[str, Any]], optimum_per_position: Float[np.ndarray, " sequence_len"]
) -> None:
    positions = np.arange(1, len(optimum_per_position) + 1)
    validated = [line for line in lines if "validation_loss_per_position" in line]
    if validated:
        values = validated[-1]["validation_loss_per_position"]
        axes.plot(positions, values, color=_VALIDATION, marker=".", label=f"validation, step {validated[-1]['step']}")
    axes.plot(positions, optimum_per_position, color=_OPTIMUM, linestyle="--", label="optimum")
    axes.set(xlabel="position in the sequence", ylabel="loss (nats)", title="Loss by position")
    axes.legend(frameon=False)
