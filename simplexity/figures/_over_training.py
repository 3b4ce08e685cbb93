"""Pictures of what analyses during training have found: R² by layer, and the numbers of the user's own functions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from ._style import ORANGE, mark_counts, new_figure, save, series_style

Analyses = Sequence[Mapping[str, Any]]
# A wide pale line below a narrow dark one: both are seen where their values are equal.
_CONTROLS: Any = (
    ("r2_next_token", "next token", {"color": "#CCCCCC", "linestyle": "-", "linewidth": 3.0, "zorder": 1}),
    ("r2_untrained", "untrained model", {"color": "black", "linestyle": ":", "linewidth": 1.1, "zorder": 1.5}),
)


def draw_analysis_over_training(analyses: Analyses, path: Path) -> Path | None:
    """Draws R² of belief states against the training step, a line per layer, with two controls.

    Args:
        analyses: The lines of analysis.jsonl, in the order of their steps.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if fewer than two steps have an R².
    """
    analyses = [line for line in analyses if line.get("best") is not None]
    if len(analyses) < 2:
        return None
    steps = [line["step"] for line in analyses]
    trained = [[row for row in line["regressions"] if row["kind"] == "trained"] for line in analyses]
    r2 = [{row["features"]: row["r2"] for row in rows} for rows in trained]
    with new_figure(height_in=2.3) as figure:
        axes = figure.subplots()
        for index, name in enumerate(r2[-1]):
            values = [layers.get(name) for layers in r2]
            axes.plot(steps, _drawable(values), label=name, **series_style(index))
        for key, label, style in _CONTROLS:
            values = [line["best"][key] for line in analyses]
            axes.plot(steps, _drawable(values), label=label, **style)
        axes.set(ylim=(-0.04, 1.04), ylabel="R² of belief states")
        _mark_steps(axes)
        figure.legend(loc="outside upper center", ncols=3)
        return save(figure, path)


def draw_functions(analyses: Analyses, path: Path) -> Path | None:
    """Draws each number that a function of `analysis.functions` has returned, against the training step.

    Args:
        analyses: The lines of analysis.jsonl, in the order of their steps.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if no function has returned a number. Lists of numbers are in analysis.jsonl alone.
    """
    found = [
        {f"{function}.{name}": value for function, results in functions.items() for name, value in results.items()}
        for functions in (line.get("functions", {}) for line in analyses)
    ]
    return _draw_numbers([line["step"] for line in analyses], found, path)


def draw_own_metrics(lines: Sequence[Mapping[str, Any]], path: Path) -> Path | None:
    """Draws each number that a function of `validation.functions` has returned, against the training step.

    Args:
        lines: Those of metrics.jsonl.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if no function has returned a number. Lists of numbers are in metrics.jsonl alone.
    """
    # The other names have no dot.
    found = [{name: value for name, value in line.items() if "." in name} for line in lines]
    return _draw_numbers([line["step"] for line in lines], found, path)


def _draw_numbers(steps: Sequence[int], found: Sequence[Mapping[str, Any]], path: Path) -> Path | None:
    series: dict[str, list[tuple[int, float]]] = {}
    for step, numbers in zip(steps, found, strict=True):
        for name, value in numbers.items():
            if isinstance(value, int | float):
                series.setdefault(name, []).append((step, float(value)))
    if not series:
        return None
    with new_figure(height_in=0.4 + 1.1 * len(series)) as figure:
        grid = figure.subplots(len(series), 1, sharex=True, squeeze=False)
        for axes, (name, points) in zip(grid[:, 0], series.items(), strict=True):
            axes.plot(*zip(*points, strict=True), color=ORANGE, marker=".")
            axes.set_title(name, loc="left")
        _mark_steps(grid[-1, 0])
        return save(figure, path)


def _drawable(values: Sequence[float | None]) -> list[float]:
    """A gap where there is no value; what is below zero, worse than the mean, is drawn at zero."""
    return [float("nan") if value is None else max(value, 0.0) for value in values]


def _mark_steps(axes: Axes) -> None:
    axes.set_xlabel("training step")
    mark_counts(axes.xaxis, 6)
