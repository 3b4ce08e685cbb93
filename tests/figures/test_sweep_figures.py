"""The pictures of a sweep: swept keys and their scales, seeds as bands, and what is not complete or not finite."""

import json

import numpy as np
import pytest

from simplexity.figures import draw_sweep
from simplexity.figures._parallel_coordinates import draw_parallel_coordinates
from simplexity.figures._sweep_data import read_sweep
from simplexity.figures._sweep_lines import draw_belief_r2, draw_curves, draw_final_kl
from tests.figures.sweeps import write_sweep

RATE = "training.optimizer.instance.learning_rate"
WIDTH = "predictive_model.instance.hidden_size"


def grid(rates=(0.001, 0.01, 0.1), widths=(16, 40), seeds=(0, 1, 2)):
    """The final KL is the product of rate and width and (1 + seed)."""
    return [
        ((f"{RATE}={rate}", f"{WIDTH}={width}", f"seed={seed}"), rate * width * (1 + seed))
        for rate in rates for width in widths for seed in seeds
    ]  # fmt: skip


def lines_of(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_final_kl_against_each_key_is_the_median_over_seeds_in_their_range(tmp_path, drawn):
    data = read_sweep(write_sweep(tmp_path / "sweep", grid()))
    assert [key.label for key in data.keys] == ["learning_rate", "hidden_size"]
    figure = drawn(lambda path: draw_final_kl(data, path))
    rate, width = figure.figure.axes
    assert (rate.get_xscale(), width.get_xscale(), rate.get_yscale()) == ("log", "linear", "log")
    lines = lines_of(rate)
    assert list(lines) == ["_fit", "16: slope 1.00", "40: slope 1.00"]
    assert lines["40: slope 1.00"].get_xdata().tolist() == [0.001, 0.01, 0.1]
    assert lines["40: slope 1.00"].get_ydata() == pytest.approx([0.08, 0.8, 8.0])
    assert lines["_fit"].get_ydata() == pytest.approx([0.08, 0.8, 8.0])
    assert lines_of(width)["0.01"].get_ydata() == pytest.approx([0.32, 0.8])
    # Of the band: the seeds' least and greatest.
    band = next(found for found in rate.collections if "FillBetween" in type(found).__name__)
    assert band.get_paths()[0].vertices[:, 1].min() == pytest.approx(0.016)
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(4.8)
    assert figure.texts() >= {"learning_rate", "hidden_size", "final loss − optimum (nats per token)", "0.001", "40"}
    assert figure.overlaps() == []


def test_one_swept_key_has_its_slope_in_the_legend_and_r2_has_none(tmp_path, drawn):
    widths = (2, 4, 8, 16)
    sweep = write_sweep(tmp_path / "sweep", [((f"{WIDTH}={width}",), 0.3 / width**2) for width in widths])
    for run, width in zip(sweep.read_manifest().runs[:3], widths, strict=False):
        line = {"step": 80, "best": {"r2": 1 - 1 / width}}
        sweep.run_directory(run).analysis_path.write_text(json.dumps(line) + "\n")
    data = read_sweep(sweep)
    figure = drawn(lambda path: draw_final_kl(data, path))
    assert figure.texts() >= {"slope −2.00", "hidden_size"}
    assert figure.overlaps() == []
    figure = drawn(lambda path: draw_belief_r2(data, path))
    (line,) = figure.figure.axes[0].get_lines()
    assert line.get_ydata() == pytest.approx([0.5, 0.75, 0.875])
    assert (figure.figure.axes[0].get_xscale(), figure.figure.axes[0].get_yscale()) == ("log", "linear")
    assert figure.texts() >= {"R² of belief states", "3 of 4 runs are complete and analysed"}
    assert "belief_r2.png" in [path.name for path in draw_sweep(sweep)]


def test_what_is_not_complete_or_not_finite_has_no_final_kl(tmp_path, drawn):
    runs = grid()
    runs[1], runs[2] = (runs[1][0], None), (runs[2][0], float("nan"))
    runs[4] = (runs[4][0], -0.001)
    sweep = write_sweep(tmp_path / "sweep", runs)
    metrics = sweep.run_directory(sweep.read_manifest().runs[5]).metrics_path
    metrics.write_text("torn\n" + metrics.read_text())
    data = read_sweep(sweep)
    assert np.flatnonzero(np.isnan(data.final_kl)).tolist() == [1, 2]
    assert [len(steps) for steps, _ in data.curves[:6]] == [8, 4, 8, 8, 8, 0]
    figure = drawn(lambda path: draw_final_kl(data, path))
    assert "16 of 18 runs are complete" in figure.texts()
    # A logarithm would leave out the run that is below the optimum by chance.
    assert figure.figure.axes[0].get_yscale() == "linear"
    assert lines_of(figure.figure.axes[0])["16"].get_ydata()[0] == pytest.approx(0.016)
    assert "_fit" not in lines_of(figure.figure.axes[0])
    assert [path.name for path in draw_sweep(sweep)] == ["final_kl.png", "curves.png", "parallel_coordinates.png"]
    assert len(list((sweep.path / "figures").iterdir())) == 6


@pytest.mark.parametrize(
    ("values", "config", "is_logarithmic"),
    [
        (("16", "32", "64"), "", True),  # equal ratios
        (("0.001", "0.2"), "", True),  # two decades
        (("0.001", "0.003", "0.01", "0.03"), "", True),
        (("1", "2", "5", "10"), "", True),
        (("10", "20", "30"), "", False),
        (("30", "40", "50"), "", False),
        (("10", "13", "19"), f"  {RATE}: tag(log, interval(10, 20))\n", True),
        (("10", "13", "19"), f"  - '{RATE}=tag(log,interval(10,20))'\n", True),
        (("0", "0.1", "10"), "", False),
        (("0.1", "null", "10"), "", False),
    ],
)
def test_which_keys_are_logarithmic(values, config, is_logarithmic, tmp_path):
    runs = [((f"{RATE}={value}",), 0.1) for value in values]
    (key,) = read_sweep(write_sweep(tmp_path / "sweep", runs, config=config)).keys
    assert key.is_logarithmic == is_logarithmic
    assert key.categories == (list(values) if "null" in values else None)


def test_categories_are_dots_with_names(tmp_path, drawn):
    names = ("gru", "lstm", "transformer", "attention_only")
    runs = [((f"predictive_model={name}", f"seed={seed}"), 0.1 + seed) for name in names for seed in (0, 1)]
    figure = drawn(lambda path: draw_final_kl(read_sweep(write_sweep(tmp_path / "sweep", runs)), path))
    (axes,) = figure.figure.axes
    assert [text.get_text() for text in axes.get_xticklabels()] == list(names)
    (medians,) = axes.get_lines()
    assert medians.get_linestyle() == "None"
    assert medians.get_ydata() == pytest.approx([0.6] * 4)
    assert figure.overlaps() == []


def test_an_empty_text_is_a_category_of_its_own(tmp_path):
    runs = [((f"hydra.job.name={name}",), 0.1) for name in ("gru", "", "gru")] + [((), 0.1)]
    (key,) = read_sweep(write_sweep(tmp_path / "sweep", runs)).keys
    assert key.categories == ["gru", ""]
    np.testing.assert_array_equal(key.places(), [0, 1, 0, np.nan])


def test_seeds_alone_are_a_key(tmp_path, drawn):
    data = read_sweep(write_sweep(tmp_path / "sweep", [((f"seed={seed}",), 0.1 + seed) for seed in range(3)]))
    figure = drawn(lambda path: draw_final_kl(data, path))
    (dots,) = figure.figure.axes[0].get_lines()
    assert dots.get_xdata().tolist() == [0, 1, 2]
    assert dots.get_linestyle() == "None"


def test_few_combinations_are_bands_of_curves_and_many_are_lines(tmp_path, drawn):
    figure = drawn(lambda path: draw_curves(read_sweep(write_sweep(tmp_path / "few", grid())), path))
    lines = lines_of(figure.figure.axes[0])
    assert len(lines) == 6
    median = lines["learning_rate 0.01, hidden_size 16"].get_ydata()
    assert median[-1] == pytest.approx(0.32 + 0.3 * np.exp(-7))
    assert figure.texts() >= {"training step", "training loss − optimum\n(nats per token)"}
    assert figure.overlaps() == []

    runs = grid(rates=(0.001, 0.002, 0.005, 0.01), widths=(8, 16))
    figure = drawn(lambda path: draw_curves(read_sweep(write_sweep(tmp_path / "many", runs)), path))
    assert len(figure.figure.axes[0].get_lines()) == len(runs)
    assert "final loss − optimum (nats per token)" in figure.texts()
    assert figure.overlaps() == []


def test_a_run_that_is_behind_hides_no_other(tmp_path, drawn):
    runs = [(("lr=1", "seed=0"), 0.1), (("lr=1", "seed=1"), None), (("lr=2", "seed=0"), None)]
    figure = drawn(lambda path: draw_curves(read_sweep(write_sweep(tmp_path / "sweep", runs)), path))
    lines = lines_of(figure.figure.axes[0])
    assert len(lines["lr 1"].get_xdata()) == 8
    assert len(lines["lr 2"].get_xdata()) == 4


def test_runs_with_one_logged_line_are_dots(tmp_path, drawn):
    for runs in (grid(rates=(0.1, 0.2), widths=(16,)), grid(widths=(8, 16, 40))):
        sweep = write_sweep(tmp_path / str(len(runs)), runs, num_lines=1)
        figure = drawn(lambda path, sweep=sweep: draw_curves(read_sweep(sweep), path))
        assert {line.get_marker() for line in figure.figure.axes[0].get_lines()} == {"."}


def test_a_search_is_a_line_per_run_through_all_keys(tmp_path, drawn):
    runs = [
        ((f"{RATE}={10.0**-number}", f"predictive_model={name}"), 10.0**-number)
        for number, name in ((1, "gru"), (2, "gru"), (3, "rnn"))
    ]
    runs.append(((f"{RATE}=0.05", "predictive_model=gru"), None))
    data = read_sweep(write_sweep(tmp_path / "sweep", runs))
    figure = drawn(lambda path: draw_parallel_coordinates(data, path))
    lines = [line.get_ydata() for line in figure.figure.axes[0].get_lines() if len(line.get_xdata()) == 3]
    assert np.array(lines) == pytest.approx(np.array([[1, 0, 1], [0.5, 0, 0.5], [0, 1, 0]]))
    assert figure.texts() >= {"learning_rate", "predictive_model", "gru", "rnn", "0.1", "0.01", "0.001"}
    assert figure.overlaps() == []
    assert draw_parallel_coordinates(data._replace(keys=data.keys[:1]), tmp_path / "none.png") is None


def test_a_sweep_in_which_no_run_has_logged_has_no_pictures(tmp_path):
    runs = [(("lr=1",), None), (("lr=2",), None)]
    assert draw_sweep(write_sweep(tmp_path / "sweep", runs, num_lines=0)) == []
