import csv
import json
from copy import deepcopy
from dataclasses import replace

import pytest

from simplexity.sweeps import read_status, results_lines, results_rows, sort_rows, write_csv

from .conftest import execute_all, sweep_in


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    sweep = sweep_in(tmp_path_factory.mktemp("results"), {"steps": 2}, {"raises_at": 2}, {"steps": 4})
    execute_all(sweep)
    return results_rows(sweep, read_status(sweep))


@pytest.fixture
def rows(executed):
    return deepcopy(executed)


def test_a_row_for_every_run(rows):
    assert [row["state"] for row in rows] == ["complete", "failed", "complete"]
    assert [row["seed"] for row in rows] == ["0", "1", "2"]
    assert [row["loss"] for row in rows] == [0.5, 0.5, 0.25]
    assert rows[0]["training_loss"] == 0.5
    assert rows[1]["reason"] == "RuntimeError: the loss is not finite"


def test_the_table_shows_what_varies(rows):
    lines = list(results_lines(rows))
    assert lines[0].split() == ["run", "state", "loss", "excess", "optimum", "seed", "reason"]
    assert "the loss is not finite" in lines[2]


def test_an_optimum_s_error_stands_beside_it(make_sweep):
    sweep = make_sweep({"steps": 2}, {"steps": 2}, {"steps": 2})
    exact, estimated, _ = (sweep.run_directory(run) for run in sweep.read_manifest().runs)
    for directory in (exact, estimated):
        directory.path.mkdir(parents=True, exist_ok=True)
    exact.mark_complete(2, 1.3, 1.2, 0.1, 1e-7)
    estimated.mark_complete(2, 1.3, 1.2, 0.1, 5.3e-5)
    rows = results_rows(sweep, read_status(sweep))
    assert [row["optimum_error"] for row in rows] == [1e-7, 5.3e-5, None]
    table = "\n".join(results_lines(rows))
    assert " 1.20000 ± 0.00006 " in table
    assert table.count("±") == 1


@pytest.mark.parametrize(
    ("key", "descending", "expected"),
    [("loss", False, [2, 0, 1]), ("seed", True, [2, 1, 0]), ("optimum", True, [0, 2, 1]), ("state", False, [0, 2, 1])],
)
def test_sorting(rows, key, descending, expected):
    assert [row["run"] for row in sort_rows(rows, key, descending=descending)] == expected


def test_an_unknown_column(rows):
    with pytest.raises(ValueError, match=r"`--sort`: there is no column los; there are run, state, lr, seed"):
        sort_rows(rows, "los")


def test_the_file_has_every_column(rows, tmp_path):
    write_csv(tmp_path / "ü.csv", rows)
    with open(tmp_path / "ü.csv", newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == list(rows[0])
    assert [row["time_s"] for row in read] == ["2", "2", "4"]


def test_eighty_columns_keep_the_loss_and_the_beginning_of_a_reason():
    reason = "RuntimeError: the disk is full; " + "free some space there and start the run again, " * 3
    base = {"step": 4, "optimum": 0.25, "excess": 0.25, "reason": ""}
    keys = {f"predictive_model.instance.size_{i}": "a long value" for i in range(5)}
    rows = [
        {"run": i, "state": "failed" if i else "complete"} | {key: f"{value} {i}" for key, value in keys.items()}
        | {"step": 4, "loss": 0.5 + i} | base | {"reason": reason if i else ""}
        for i in range(2)
    ]  # fmt: skip
    lines = list(results_lines(rows, width=80, colour=True))
    assert lines[0].startswith("\x1b[1mrun  state")
    assert lines[1].split()[:4] == ["0", "complete", "0.50000", "0.25000"]
    assert lines[2].startswith("\x1b[31m  1  failed")
    assert lines[4].startswith("run 1 failed: RuntimeError: the disk is full; ")
    assert " ".join(line.strip() for line in lines[4:]) == f"run 1 failed: {reason.strip()}"
    assert (
        max(len(line.removeprefix("\x1b[31m").removeprefix("\x1b[1m").removesuffix("\x1b[0m")) for line in lines) <= 80
    )
    assert not any("\x1b" in line for line in results_lines(rows, width=80))


def test_the_last_analysis_has_its_columns(make_sweep, execute):
    sweep = make_sweep({"steps": 2}, {"steps": 2}, {"steps": 2})
    execute(sweep)
    first, second, _ = (sweep.run_directory(run) for run in sweep.read_manifest().runs)
    best = {"features": "layer_1", "r2": 0.91, "r2_shuffled": -0.01, "r2_untrained": 0.5, "r2_next_token": 0.24}
    functions = {"probe": {"mean": 0.75, "curve": [1, 2], "none": None}}
    line = {"step": 2, "best": best, "functions": functions, "regressions": [{"r2": 0.91}] * 100}
    first.analysis_path.write_text(json.dumps({"step": 1, "best": None}) + "\n" + json.dumps(line) + "\n")
    # Belief states that do not change have no R².
    second.analysis_path.write_text(json.dumps({"step": 2, "best": None, "functions": {}}) + "\n")
    rows = results_rows(sweep, read_status(sweep))
    assert [row["belief_r2"] for row in rows] == [0.91, None, None]
    assert [rows[0][f"belief_{name}"] for name in ("r2_shuffled", "r2_untrained", "r2_next_token", "layer")] == [
        -0.01, 0.5, 0.24, "layer_1",
    ]  # fmt: skip
    assert rows[0]["probe.mean"] == 0.75
    assert "probe.curve" not in rows[0]
    assert list(rows[0])[-1] == "reason"
    lines = list(results_lines(rows, width=80))
    assert lines[0].split() == ["run", "state", "loss", "excess", "optimum", "belief_r2", "seed"]
    assert lines[1].split()[-2:] == ["0.91000", "0"]
    assert next(row["run"] for row in sort_rows(rows, "probe.mean", descending=True)) == 0


def test_runs_that_have_overridden_and_logged_other_things_share_a_table(make_sweep):
    sweep = make_sweep({}, {}, {}, {})
    manifest = sweep.read_manifest()
    overrides = [("a=1", "b=2"), ("b=3", "a=4"), ("b=5", "a=6"), ("c=7",)]
    runs = tuple(run._replace(overrides=values) for run, values in zip(manifest.runs, overrides, strict=True))
    sweep.write_manifest(replace(manifest, runs=runs))
    lines = [{"loss": 0.75, "note": "x"}, {"note": 0.25, "loss": 0.5}, {"loss": None, "accuracy": 1}, {}]
    for run, line in zip(runs, lines, strict=True):
        directory = sweep.run_directory(run)
        directory.metrics_path.write_text(json.dumps({"step": 4} | line) + "\n")
        directory.mark_complete(4, 0.5 + run.index, 0.25, 0.25 + run.index, 0.125 if run.index == 2 else None)
    sweep.run_directory(runs[3]).analysis_path.write_text(
        json.dumps({"step": 4, "functions": {"f": {"n": 8}}, "best": None}) + "\n"
    )
    columns = ["run", "state", "a", "b", "c", "step", "loss", "optimum", "excess"]
    columns += ["training_loss", "note", "optimum_error", "accuracy", "f.n", "reason"]
    expected = [
        [0, "complete", "1", "2", None, 0, 0.5, 0.25, 0.25, 0.75, None, None, None, None, ""],
        [1, "complete", "4", "3", None, 0, 1.5, 0.25, 1.25, 0.5, 0.25, None, None, None, ""],
        [2, "complete", "6", "5", None, 0, 2.5, 0.25, 2.25, None, None, 0.125, 1, None, ""],
        [3, "complete", None, None, "7", 0, 3.5, 0.25, 3.25, None, None, None, None, 8, ""],
    ]
    for _ in ("first look", "later look"):
        rows = list(map(dict, results_rows(sweep, read_status(sweep))))
        assert [{name: row[name] for name in columns} for row in rows] == [
            dict(zip(columns, values, strict=True)) for values in expected
        ]
        assert all(set(row) == set(columns) and list(row)[-1] == "reason" for row in rows)
