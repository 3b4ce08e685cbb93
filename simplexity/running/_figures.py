"""The figures that a run draws of itself when its training has ended."""

import logging
import shlex
import threading
from pathlib import Path

from omegaconf import DictConfig

from simplexity.runs import RunDirectory
from simplexity.sweeps import display_path, sweep_of

_log = logging.getLogger("simplexity")
# pyplot has one present figure for all threads, and each run of a pack has a thread.
_drawing = threading.Lock()


def wants_figures(config: DictConfig, directory: RunDirectory) -> bool:
    """Whether a run draws its figures by itself: `figures: auto` leaves those of a sweep to `simplexity plot`.

    In a sweep of tiny models, drawing takes longer than training.

    Args:
        config: The run's.
        directory: The run's.
    """
    if config.figures == "auto":
        return sweep_of(directory.path) is None
    return bool(config.figures)


def draw_figures(directory: RunDirectory) -> list[Path]:
    """Draws all figures of a run; returns their paths.

    No fault of a figure is one of the run: it is logged, and the figures can be drawn at any time.

    Args:
        directory: The run's.
    """
    try:
        # Importing matplotlib takes longer than drawing.
        from simplexity.figures import draw_run

        with _drawing:
            return draw_run(directory)
    except Exception as error:  # of matplotlib, too, which reads files of its user's
        command = f"simplexity plot {shlex.quote(display_path(directory.path))}"
        reason = " ".join(str(error).split()) or type(error).__name__
        _log.warning("the figures could not be drawn: %s; to draw them: %s", reason, command)
        return []
