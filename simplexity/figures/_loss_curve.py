"""A run's loss against the best possible one, over training and over the positions of a sequence."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from simplexity.runs import optimum_text

from ._style import BLUE, ORANGE, SEQUENTIAL, SKY, mark_counts, new_figure, save

Lines = Sequence[dict[str, Any]]
_MOST_VALIDATIONS = 5


def draw_loss_curve(lines: Lines, path: Path) -> Path:
    """Draws the loss over the steps, and below it the distance to the optimum.

    Args:
        lines: The logged lines of a run, in order; at least one.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`.
    """
    with new_figure(height_in=3.5) as figure:
        loss, excess = figure.subplots(2, 1, sharex=True)
        loss.plot(*_series(lines, "loss"), color=SKY, label="training")
        loss.plot(*_series(lines, "validation_loss"), color=BLUE, marker=".", label="validation, noise-free")
        optimum = _optimum(lines)
        if optimum is not None:
            label = f"optimum {optimum_text(*optimum, digits=4)}"
            loss.axhline(optimum[0], color=ORANGE, linestyle="--", label=label)
        loss.set(ylabel="loss (nats per token)")
        _legend(loss)
        excess.plot(*_series(lines, "excess"), color=SKY, label="training loss − optimum")
        excess.plot(*_series(lines, "validation_kl"), color=BLUE, marker=".", label="validation KL divergence")
        _logarithmic(excess)
        excess.set(xlabel="training step", ylabel="excess (nats per token)")
        mark_counts(excess.xaxis, 6)
        _legend(excess)
        return save(figure, path)


def draw_kl_by_position(lines: Lines, analyses: Lines, path: Path) -> Path | None:
    """Draws the KL divergence at each position of a sequence, of the last validation and of some before it.

    At the positions of an analysis of all words it is the exact one.

    Args:
        lines: The logged lines of a run, in order.
        analyses: Those of its analyses.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if the run has neither been validated nor analysed on all words.
    """
    found = {line["step"]: line.get("validation_kl_per_position") or [] for line in lines}
    for line in analyses:
        if line.get("num_drawn") is None:
            exact = line.get("kl_by_position") or []
            found[line["step"]] = exact + found.get(line["step"], [])[len(exact) :]
    steps = [step for step in sorted(found) if found[step]]
    if not steps:
        return None
    chosen = [steps[index] for index in _spread(len(steps))]
    colours = matplotlib.colormaps[SEQUENTIAL](np.linspace(0.85, 0.0, len(chosen)))
    with new_figure(height_in=2.1) as figure:
        axes = figure.subplots()
        for step, colour in zip(chosen, colours, strict=True):
            values = _numbers(found[step])
            axes.plot(np.arange(1, len(values) + 1), values, color=colour, marker=".", label=f"{step:,}")
        _logarithmic(axes)
        axes.set(xlabel="position in the sequence (tokens)", ylabel="KL divergence (nats)")
        mark_counts(axes.xaxis, 8)
        figure.legend(title="after step", loc="outside right upper", handlelength=1.2)
        return save(figure, path)


def _optimum(lines: Lines) -> tuple[float, float | None] | None:
    """The best possible loss, and its error: of the validation, or of training without one."""
    for line in reversed(lines):
        if line.get("validation_loss") is not None and line.get("validation_kl") is not None:
            return line["validation_loss"] - line["validation_kl"], line.get("optimum_error")
    last = lines[-1]
    return None if last.get("optimum") is None else (last["optimum"], last.get("optimum_error"))


def _spread(count: int) -> list[int]:
    """A few of so many indices, the last among them, the earlier ones closer together, as the loss falls fast there."""
    return sorted({round(index) for index in np.geomspace(1, count, min(count, _MOST_VALIDATIONS)) - 1})


def _series(lines: Lines, name: str) -> tuple[list[int], list[float]]:
    """Steps and values of the lines that have a number under `name`."""
    points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
    return [step for step, _ in points], [value for _, value in points]


def _numbers(values: Sequence[float | None]) -> Float[np.ndarray, " n"]:
    """What is not finite is null in JSON."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _logarithmic(axes: Axes) -> None:
    """A sampled loss may be below the optimum by chance; a logarithm shows what is above, if anything is."""
    if any((np.asarray(line.get_ydata(), dtype=np.float64) > 0).any() for line in axes.get_lines()):
        axes.set_yscale("log", nonpositive="mask")


def _legend(axes: Axes) -> None:
    """Only of what has points."""
    drawn = [line for line in axes.get_lines() if len(np.atleast_1d(line.get_xdata())) > 0]  # pyright: ignore
    if drawn:
        axes.legend(handles=drawn, loc="upper right")
