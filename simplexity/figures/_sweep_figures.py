"""All pictures of a sweep, from the files in its runs' folders."""

from pathlib import Path

from simplexity.sweeps import SweepDirectory

from ._parallel_coordinates import draw_parallel_coordinates
from ._sweep_data import read_sweep
from ._sweep_lines import draw_belief_r2, draw_curves, draw_final_kl


def draw_sweep(sweep: SweepDirectory) -> list[Path]:
    """Draws what a sweep's runs have reached by now into the sweep's folder `figures`.

    Args:
        sweep: The sweep's folder, whose runs may still be running.

    Returns:
        The PNGs; beside each there is an SVG.

    Raises:
        RuntimeError: If the sweep's manifest cannot be read.
        OSError: If a figure cannot be written.
    """
    data, folder = read_sweep(sweep), sweep.figures_path
    drawn = [
        draw_final_kl(data, folder / "final_kl.png"),
        draw_belief_r2(data, folder / "belief_r2.png"),
        draw_curves(data, folder / "curves.png"),
        draw_parallel_coordinates(data, folder / "parallel_coordinates.png"),
    ]
    return [path for path in drawn if path is not None]
