"""A run's best possible losses, which the runs of a sweep compute once."""

from dataclasses import replace

import numpy as np
import pytest

from simplexity.composition import compose
from simplexity.generative_processes import HMM, DataGenerator, loss_optimum, mess3, zero_one_random
from simplexity.running import _optima
from simplexity.running._build import build
from simplexity.running._optima import optima_of
from simplexity.runs import RunDirectory
from simplexity.sweeps import SweepDirectory


@pytest.fixture(scope="module")
def experiment():
    built = build(compose("experiment", ["training.sequence_len=5"]))
    generator = DataGenerator(mess3(0.1, 0.7), None, None)
    return built._replace(generator=generator, validation_generator=generator)


@pytest.fixture
def lengths(monkeypatch):
    """The lengths of which optima were computed."""
    computed = []

    def count(generator, length, *, carry_state=False):
        computed.append(length)
        return loss_optimum(generator, length, carry_state=carry_state)

    monkeypatch.setattr(_optima, "loss_optimum", count)
    return computed


@pytest.fixture
def sweep(tmp_path):
    sweep = SweepDirectory(tmp_path)
    sweep.folder.mkdir()
    sweep.manifest_path.touch()
    return sweep


def run(sweep, index):
    return RunDirectory(sweep.path / "runs" / str(index))


@pytest.mark.parametrize("carry_state", [False, True])
def test_rows_that_continue_each_other_have_another_optimum_than_the_validation_s(carry_state, tmp_path):
    started = HMM(zero_one_random(0.3).transition_matrices, np.array([1.0, 0.0, 0.0]))
    generator = DataGenerator(started, None, None)
    overrides = ["training.sequence_len=9", f"training.carry_state={carry_state}"]
    experiment = build(compose("experiment", overrides))._replace(generator=generator, validation_generator=generator)
    optima = optima_of(experiment, RunDirectory(tmp_path))
    assert optima.validation.nats == loss_optimum(generator, 9).nats
    assert optima.training.nats == loss_optimum(generator, 9, carry_state=carry_state).nats
    assert (optima.training.nats > optima.validation.nats + 0.01) == carry_state


def test_the_runs_of_a_sweep_compute_it_once(experiment, sweep, lengths):
    computed, read = (optima_of(experiment, run(sweep, index)).training for index in range(2))
    assert lengths == [5]
    assert (computed.nats, computed.error_nats) == (read.nats, read.error_nats)
    assert computed.per_position.tobytes() == read.per_position.tobytes()


def test_other_numbers_are_not_taken_for_it(experiment, sweep, lengths):
    generator = experiment.generator
    variants = [
        experiment,
        experiment._replace(settings=replace(experiment.settings, sequence_len=6)),
        experiment._replace(settings=replace(experiment.settings, carry_state=True)),
        experiment._replace(generator=DataGenerator(generator.process, "auto", None)),
        experiment._replace(generator=DataGenerator(mess3(0.1, 0.7 + 1e-15), None, None)),
    ]
    for index, variant in enumerate(variants):
        optima_of(variant, run(sweep, index))
    # The last three validate on the first one's sequences.
    assert lengths == [5, 6, 5, 5, 5]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"\xff", b'{"nats": 1.0, "error_nats": 0.0, "per_position": [1.0]}']
)
def test_a_corrupt_file_is_computed_anew(experiment, sweep, lengths, content):
    expected = optima_of(experiment, run(sweep, 0)).training.nats
    (path,) = sweep.optima_path.iterdir()
    path.write_bytes(content)
    assert optima_of(experiment, run(sweep, 1)).training.nats == expected
    assert optima_of(experiment, run(sweep, 2)).training.nats == expected
    assert lengths == [5, 5]


def test_a_folder_that_takes_no_files_costs_only_time(experiment, sweep, lengths):
    sweep.optima_path.write_text("not a folder")
    for index in range(2):
        optima_of(experiment, run(sweep, index))
    assert lengths == [5, 5]


def test_a_run_by_itself_writes_nothing(experiment, tmp_path, lengths):
    optima_of(experiment, RunDirectory(tmp_path / "run"))
    assert lengths == [5]
    assert list(tmp_path.iterdir()) == []
