"""Pictures of a sweep as lines: results against each swept key, and the curves of its runs over each other."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, to_rgba
from matplotlib.figure import Figure

from ._style import BLUE, GREY, SEQUENTIAL, SERIES, mark_counts, new_figure, save
from ._sweep_data import SweepData, SweptKey

_MOST_KEYS = 6


def draw_final_kl(data: SweepData, path: Path) -> Path | None:
    """Draws final loss minus optimum against each swept key.

    Where the other keys have few combinations, each is a line: the median over seeds, in a band from the least to the
    greatest. Else each run is a dot. Where both axes are logarithmic, a dotted line is the power law that fits the
    medians best (least squares of the logarithms), and its slope stands in the legend.

    Args:
        data: The sweep's.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if no key was swept, or no run is complete.
    """
    return _draw_against_keys(data, data.final_kl, "final loss − optimum (nats per token)", "are complete", path)


def draw_belief_r2(data: SweepData, path: Path) -> Path | None:
    """Draws R² of the belief states at the end against each swept key, as `draw_final_kl` does.

    Args:
        data: The sweep's.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if no key was swept, or no complete run has analysed its model.
    """
    return _draw_against_keys(data, data.belief_r2, "R² of belief states", "are complete and analysed", path)


def _draw_against_keys(data: SweepData, results: np.ndarray, name: str, condition: str, path: Path) -> Path | None:
    keys = data.keys[:_MOST_KEYS]
    known = np.isfinite(results)
    if not keys or not known.any():
        return None
    is_logarithmic = results is data.final_kl and bool((results[known] > 0).all())
    with new_figure(height_in=0.4 + 1.55 * len(keys)) as figure:
        panels = figure.subplots(len(keys), 1, squeeze=False, sharey=True)[:, 0]
        for axes, key in zip(panels, keys, strict=True):
            _draw_key(axes, data, results, key, has_fit=is_logarithmic and key.is_logarithmic and key.is_ordered)
        if is_logarithmic:
            panels[0].set_yscale("log")
        figure.supylabel(name, fontsize=7)
        if not known.all():
            figure.suptitle(f"{known.sum()} of {len(known)} runs {condition}", fontsize=7)
        return save(figure, path)


def draw_curves(data: SweepData, path: Path) -> Path | None:
    """Draws the runs' distances to the optimum over the training steps.

    Few combinations of the swept keys have a colour each: the median over seeds, in a band from the least to the
    greatest. Of many, each run is a line, whose colour is its final KL.

    Args:
        data: The sweep's.
        path: The PNG to write; an SVG is written beside it.

    Returns:
        `path`; None if no run has logged a distance above zero.
    """
    # The logarithm of what is not above zero, by chance, is left out.
    if not any((values > 0).any() for _, values in data.curves):
        return None
    groups = data.groups(data.keys)
    with new_figure(height_in=2.4) as figure:
        axes = figure.subplots()
        axes.set_yscale("log", nonpositive="mask")
        if len(groups) <= len(SERIES):
            for (values, runs), colour in zip(groups.items(), SERIES, strict=False):
                _draw_band(axes, [data.curves[run] for run in runs], colour, _label(data.keys, values))
            if len(groups) > 1:
                figure.set_figheight(2.2 + 0.13 * len(groups))
                figure.legend(loc="outside lower center")
        else:
            _draw_every_curve(figure, axes, data)
        name = "validation KL divergence" if data.is_validated else "training loss − optimum"
        axes.set(xlabel="training step", ylabel=f"{name}\n(nats per token)")
        mark_counts(axes.xaxis, 5)
        return save(figure, path)


def _draw_key(axes: Axes, data: SweepData, results: np.ndarray, key: SweptKey, *, has_fit: bool) -> None:
    places, others = key.places(), [other for other in data.keys if other is not key]
    usable = np.isfinite(places) & np.isfinite(results)
    series = {values: [run for run in runs if usable[run]] for values, runs in data.groups(others).items()}
    if len(series) <= len(SERIES):
        for (values, runs), colour in zip(series.items(), SERIES, strict=False):
            label = ", ".join(map(_text, values))
            _draw_series(axes, places[runs], results[runs], colour, label, is_ordered=key.is_ordered, has_fit=has_fit)
        if axes.get_legend_handles_labels()[1]:
            # Beside the panel, where it hides no point.
            title = ", ".join(other.label for other in others)
            axes.legend(title=title, loc="upper left", bbox_to_anchor=(1.0, 1.05), borderaxespad=0.2)
    else:
        axes.scatter(places[usable], results[usable], s=8, color=BLUE, alpha=0.6, linewidths=0)
    axes.set_xlabel(key.label)
    if (categories := key.categories) is not None:
        axes.set_xticks(range(len(categories)), categories, rotation=20 if len("".join(categories)) > 24 else 0)
        axes.set_xlim(-0.5, len(categories) - 0.5)
        return
    if key.is_logarithmic:
        axes.set_xscale("log")
    _mark_values(axes, key, places[usable])


def _draw_series(
    axes: Axes, places: np.ndarray, values: np.ndarray, colour: str, label: str, *, is_ordered: bool, has_fit: bool
) -> None:
    if len(places) == 0:
        return
    distinct = np.unique(places)
    runs = [values[places == place] for place in distinct]
    medians = [np.median(found) for found in runs]
    if has_fit and len(distinct) > 2:
        slope, height = np.polyfit(np.log(distinct), np.log(medians), 1)
        axes.plot(distinct, np.exp(height) * distinct**slope, color=colour, linestyle=":", linewidth=1.2, label="_fit")
        slope_text = f"slope {slope:.2f}".replace("-", "−")
        label = f"{label}: {slope_text}" if label else slope_text
    axes.plot(distinct, medians, color=colour, marker="o", linestyle="-" if is_ordered else "none", label=label)
    if any(len(found) > 1 for found in runs):
        if is_ordered:
            axes.fill_between(distinct, *_range(runs), color=colour, alpha=0.2, linewidth=0)
        axes.vlines(distinct, *_range(runs), color=colour, alpha=0.5, linewidth=0.8)


def _range(runs: Sequence[np.ndarray]) -> tuple[list[float], list[float]]:
    return [found.min() for found in runs], [found.max() for found in runs]


def _draw_band(axes: Axes, curves: Sequence[tuple[np.ndarray, np.ndarray]], colour: str, label: str) -> None:
    """The median and the range at each step, of the runs that have logged it: some may be behind."""
    begun = [(steps, values) for steps, values in curves if len(steps) > 0]
    if not begun:
        return
    every = np.unique(np.concatenate([steps for steps, _ in begun]))
    aligned = np.full((len(begun), len(every)), np.nan)
    for row, (steps, values) in zip(aligned, begun, strict=True):
        row[np.searchsorted(every, steps)] = values
    axes.plot(every, np.nanmedian(aligned, axis=0), color=colour, marker=_marker(every), label=label)
    if len(begun) > 1:
        least, greatest = np.nanmin(aligned, axis=0), np.nanmax(aligned, axis=0)
        axes.fill_between(every, least, greatest, color=colour, alpha=0.2, linewidth=0)


def _marker(steps: np.ndarray) -> str:
    """A line through one point cannot be seen."""
    return "." if len(steps) == 1 else ""


def _draw_every_curve(figure: Figure, axes: Axes, data: SweepData) -> None:
    norm, colours = colouring(data.final_kl)
    # The best last, on top; those that are not complete first.
    for run in np.argsort(np.where(np.isfinite(data.final_kl), -data.final_kl, -np.inf), kind="stable"):
        steps, values = data.curves[run]
        axes.plot(steps, values, color=colours[run], marker=_marker(steps), linewidth=0.7)
    if np.isfinite(data.final_kl).any():
        mappable = ScalarMappable(norm, SEQUENTIAL)
        figure.colorbar(mappable, ax=axes, label="final loss − optimum (nats per token)")


def colouring(final_kl: np.ndarray) -> tuple[Normalize, np.ndarray]:
    """A colour for each run, by its final KL, on a logarithmic scale where all are above zero; grey without one."""
    known = final_kl[np.isfinite(final_kl)]
    low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    norm = LogNorm(low, high) if low > 0 and high > low else Normalize(low, high)
    colours = matplotlib.colormaps[SEQUENTIAL](norm(np.where(np.isfinite(final_kl), final_kl, high)))
    colours[~np.isfinite(final_kl)] = to_rgba(GREY, 0.6)
    return norm, colours


def _mark_values(axes: Axes, key: SweptKey, places: np.ndarray) -> None:
    """Ticks at the swept values themselves, where these are few and not too close to each other."""
    distinct = np.unique(places)
    along = np.log(distinct) if key.is_logarithmic else distinct
    if 1 < len(distinct) <= 6 and np.diff(along).min() > 0.1 * np.ptp(along):
        axes.set_xticks(distinct, [_text(float(value)) for value in distinct])
        axes.set_xticks([], minor=True)
    elif (distinct == distinct.round()).all() and not key.is_logarithmic:
        mark_counts(axes.xaxis, 6)


def _label(keys: Sequence[SweptKey], values: Sequence[str | float | None]) -> str:
    return ", ".join(f"{key.label} {_text(value)}" for key, value in zip(keys, values, strict=True))


def _text(value: str | float | None) -> str:
    if value is None:
        return "default"
    return value if isinstance(value, str) else f"{value:g}"
