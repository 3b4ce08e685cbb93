"""The pictures of belief states: where they lie in truth and by regression, and how well that works."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from simplexity.analysis import BeliefRegression

from ._style import BLUE, GREEN, GREY, ORANGE, SKY, new_figure, save

_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])
_CORNER_COLOURS = np.array([to_rgb(colour) for colour in (BLUE, ORANGE, GREEN)])
_MOST_PANELS = 6
_MOST_DOTS = 100_000
_SHARES = (0.90, 0.95, 0.99)
# Belief states that agree to so many digits are one dot, at the centre of mass of their words' predictions.
_DIGITS = 6


def draw_beliefs(found: BeliefRegression, path: Path) -> list[Path]:
    """Draws the true belief states, and beside them, in the same colours, what each layer's regression makes of them.

    Three hidden states are drawn in their simplex. Anything else is drawn along the first two principal components of
    the true belief states or predictive vectors. Words of one belief state are one dot where there are few such
    states, at the centre of mass of their predictions.

    Args:
        found: From `regress_beliefs`.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        Both paths.
    """
    truth, weights = found.words.beliefs, found.words.probabilities
    layers = found.layers[-_MOST_PANELS:]
    panels = {name: found[name].predictions for name in layers}
    truth, weights, panels = _centres_of_mass(truth, weights, panels)
    flat, labels = _flattening(truth, weights)
    colours = _colours(truth, weights)
    order = np.argsort(-weights)[:_MOST_DOTS][::-1]
    with new_figure(height_in=2.6, width_in=2.3 * (1 + len(layers))) as figure:
        all_axes = np.atleast_1d(figure.subplots(1, 1 + len(layers), sharex=True, sharey=True))
        titles = ["truth", *(f"{name}: R² {found[name].r2:.3f}" for name in layers)]
        for axes, title, points in zip(all_axes, titles, [truth, *panels.values()], strict=True):
            _draw_points(axes, flat(points)[order], colours[order], weights[order])
            axes.set_title(title)
            _frame(axes, labels)
        return save(figure, path)


def draw_regression(found: BeliefRegression, path: Path) -> list[Path]:
    """Draws R² by layer with its controls, and how many principal components the activations have.

    Args:
        found: From `regress_beliefs`.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        Both paths.
    """
    with new_figure(height_in=0.8 + 0.17 * len(found.rows)) as figure:
        regressions, components = figure.subplots(1, 2, width_ratios=(3, 2))
        _draw_rows(regressions, found)
        for name, shares in found.explained_variance.items():
            cumulative = np.cumsum(shares)
            needed = "/".join(str(1 + int((cumulative < share).sum())) for share in _SHARES)
            components.plot(np.arange(1, len(shares) + 1), cumulative, label=f"{name}: {needed}")
        components.set(
            xlabel="principal components", ylabel="explained variance", ylim=(0, 1.02), xscale="log",
            title="Dimensions to 90/95/99 %",
        )  # fmt: skip
        components.legend()
        return save(figure, path)


def _draw_rows(axes: Axes, found: BeliefRegression) -> None:
    """A dot per regression, the controls below the trained model's layers; what is below zero is drawn at zero."""
    styles = {"trained": (BLUE, "o"), "shuffled": (GREY, "x"), "untrained": (SKY, "s"), "control": (ORANGE, "D")}
    heights = np.arange(len(found.rows))[::-1]
    for kind, (colour, marker) in styles.items():
        chosen = [index for index, row in enumerate(found.rows) if row.kind == kind]
        if chosen:
            values = np.array([found.rows[index].regression.r2 for index in chosen])
            errors = [found.rows[index].regression.r2_standard_error for index in chosen]
            axes.errorbar(
                np.maximum(values, 0.0), heights[chosen], xerr=errors, color=colour, marker=marker, markersize=4,
                linestyle="none",
            )  # fmt: skip
    axes.set_yticks(heights, [row.name for row in found.rows])
    axes.set(xlim=(-0.03, 1.03), xlabel="R² of belief states, on words not seen by the fit", title="Belief regression")
    axes.grid(axis="x", linewidth=0.3)


def _centres_of_mass(
    truth: Float[np.ndarray, "words states"],
    weights: Float[np.ndarray, " words"],
    panels: dict[str, Float[np.ndarray, "words states"]],
) -> tuple[Float[np.ndarray, "n states"], Float[np.ndarray, " n"], dict[str, Float[np.ndarray, "n states"]]]:
    """One point per belief state, if that is few; a point per word otherwise."""
    distinct, number = np.unique(truth.round(_DIGITS), axis=0, return_inverse=True)
    number = number.ravel()
    if len(distinct) > len(truth) / 4:
        return truth, weights, panels
    mass = np.bincount(number, weights)
    means = {
        name: np.stack([np.bincount(number, weights * column) / mass for column in points.T], axis=1)
        for name, points in panels.items()
    }
    return distinct, mass, means


def _flattening(truth: np.ndarray, weights: np.ndarray):
    """From belief states to points of the plane, and the axes' labels; none for the simplex."""
    if _is_simplex(truth):
        return (lambda points: points @ _CORNERS), None
    mean = weights @ truth / weights.sum()
    centred = (truth - mean) * np.sqrt(weights)[:, None]
    _, scales, directions = np.linalg.svd(centred, full_matrices=False)
    shares = scales**2 / max(float((scales**2).sum()), np.finfo(float).tiny)
    shares, directions = np.pad(shares, (0, 2))[:2], np.pad(directions, ((0, 2), (0, 0)))[:2]
    labels = tuple(f"component {index + 1} of the beliefs ({100 * share:.0f} %)" for index, share in enumerate(shares))
    return (lambda points: (points - mean) @ directions.T), labels


def _is_simplex(truth: np.ndarray) -> bool:
    return truth.shape[1] == 3 and bool((truth > -1e-9).all())


def _colours(truth: np.ndarray, weights: np.ndarray) -> Float[np.ndarray, "n 3"]:
    """Mixtures of three colours by the belief, or by the first components of the truth, squeezed into a simplex."""
    if _is_simplex(truth):
        shares = truth
    else:
        mean = weights @ truth / weights.sum()
        _, _, directions = np.linalg.svd((truth - mean) * np.sqrt(weights)[:, None], full_matrices=False)
        scores = (truth - mean) @ np.pad(directions, ((0, 3), (0, 0)))[:3].T
        shares = np.exp(2 * scores / max(float(np.abs(scores).max()), 1e-12))
    shares = np.maximum(shares, 0.0)
    return (shares / shares.sum(axis=1, keepdims=True)) @ _CORNER_COLOURS


def _draw_points(axes: Axes, points: np.ndarray, colours: np.ndarray, weights: np.ndarray) -> None:
    size = np.clip(60 * weights / weights.max(), 0.3, 25) if len(points) > 500 else 18
    axes.scatter(points[:, 0], points[:, 1], s=size, c=colours, linewidths=0, rasterized=True)


def _frame(axes: Axes, labels: tuple[str, ...] | None) -> None:
    axes.set_aspect("equal")
    if labels is not None:
        axes.set_xlabel(labels[0])
        if axes.get_subplotspec().is_first_col():  # pyright: ignore[reportOptionalMemberAccess]
            axes.set_ylabel(labels[1])
        return
    corners = np.vstack([_CORNERS, _CORNERS[:1]])
    axes.plot(corners[:, 0], corners[:, 1], color="black", linewidth=0.6)
    offsets = ((0, -9), (0, -9), (0, 3))
    for state, (corner, offset) in enumerate(zip(_CORNERS, offsets, strict=True)):
        axes.annotate(f"state {state}", corner, xytext=offset, textcoords="offset points", ha="center")
    axes.set(xlim=(-0.08, 1.08), ylim=(-0.14, 1.0))
    axes.set_axis_off()
