"""When a run draws its figures by itself, and that no fault of a figure is one of the run."""

import logging

import pytest
from omegaconf import OmegaConf

from simplexity.running._figures import draw_figures, wants_figures
from simplexity.runs import RunDirectory
from simplexity.sweeps import SweepDirectory


@pytest.mark.parametrize("subdir", ["3", "seed=1/3"])
def test_auto_leaves_the_figures_of_a_sweep_to_the_command(tmp_path, subdir):
    sweep = SweepDirectory(tmp_path)
    run = RunDirectory(sweep.path / subdir)
    wanted = {value: wants_figures(OmegaConf.create({"figures": value}), run) for value in ("auto", True, False)}
    assert wanted == {"auto": True, True: True, False: False}
    sweep.folder.mkdir()
    sweep.manifest_path.write_text("{}")
    wanted = {value: wants_figures(OmegaConf.create({"figures": value}), run) for value in ("auto", True, False)}
    assert wanted == {"auto": False, True: True, False: False}


def test_a_figure_that_cannot_be_drawn_is_a_line_in_the_log(tmp_path, caplog):
    directory = RunDirectory(tmp_path)
    directory.metrics_path.write_text('{"step": 1, "loss": 1.0}\n')
    directory.figures_path.write_text("a file, where a folder is to be")
    with caplog.at_level(logging.WARNING, "simplexity"):
        assert draw_figures(directory) == []
    (record,) = caplog.records
    assert record.message.startswith("the figures could not be drawn: ")
    assert record.message.endswith(f"to draw them: simplexity plot {tmp_path}")
