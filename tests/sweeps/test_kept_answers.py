"""What is known of complete runs is kept: the same answers as from their files, and never an old one."""

import json
import os
import shutil

import pytest

from simplexity.runs import EventKind, Ledger, RunDirectory, RunLock
from simplexity.sweeps import RunState, _kept_answers, read_status, results_rows
from simplexity.sweeps import _sweep_status as status_module
from simplexity.sweeps._queue import RunQueue


@pytest.fixture
def sweep(make_sweep):
    """Two complete runs and one that has begun."""
    sweep = make_sweep({}, {}, {})
    for run in sweep.read_manifest().runs:
        directory = sweep.run_directory(run)
        ledger = Ledger(directory.ledger_path)
        ledger.append(EventKind.START, 0)
        directory.metrics_path.write_text('{"step": 4, "loss": 0.7, "accuracy": 0.5}\n')
        directory.analysis_path.write_text('{"step": 4, "best": {"features": "layer_0", "r2": 0.9}}\n')
        if run.index < 2:
            ledger.append(EventKind.COMPLETE, 4, reason="odd" if run.index else None)
            directory.mark_complete(4, 0.6 + run.index, 0.5, 0.1 + run.index)
    return sweep


@pytest.fixture
def read(monkeypatch):
    """The runs whose files are read."""
    runs = []
    original = status_module.read_run
    monkeypatch.setattr(status_module, "read_run", lambda sweep, run: runs.append(run.index) or original(sweep, run))
    return runs


def look(sweep):
    status = read_status(sweep)
    return status.runs, results_rows(sweep, status)


def test_a_later_look_says_the_same_and_reads_only_what_is_not_complete(sweep, read):
    first = look(sweep)
    assert sorted(read) == [0, 1, 2]
    read.clear()
    assert look(sweep) == first
    assert read == [2]
    assert [run.node for run in first[0]] == [os.uname().nodename] * 3
    assert first[1][0]["belief_r2"] == 0.9


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe 0 1\n", b"0 \n1 x\ty\n2", b'0 1:a b\t{"a"'])
def test_a_corrupt_or_missing_file_is_passed_over_and_mended(content, sweep, read):
    first = look(sweep)
    for path in (sweep.complete_runs_path, sweep.results_path):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    read.clear()
    assert look(sweep) == first
    assert sorted(read) == [0, 1, 2]
    read.clear()
    assert look(sweep) == first
    assert read == [2]


def test_nothing_is_believed_of_a_run_that_was_deleted(sweep):
    look(sweep)
    shutil.rmtree(sweep.run_directory(sweep.read_manifest().runs[0]).path)
    runs, rows = look(sweep)
    assert (runs[0].state, rows[0]["loss"], rows[0]["belief_r2"]) == (RunState.MISSING, None, None)


def test_answers_of_another_kind_are_passed_over(sweep):
    first = look(sweep)
    for path in (sweep.complete_runs_path, sweep.results_path):
        lines = [line.partition("\t")[0] for line in path.read_text().splitlines()]
        for answer in (
            "null",
            "[]",
            '{"a": 1}',
            '[["x"], [1, 2, 3, null, [], null]]',
            "[1, 2]",
            "[null, [1,2,3,[],[],5]]",
        ):
            path.write_text("".join(f"{line}\t{answer}\n" for line in lines))
            assert look(sweep) == first


def test_a_run_that_is_extended_and_analysed_again_is_read_again(sweep):
    look(sweep)
    first, second = (sweep.run_directory(run) for run in sweep.read_manifest().runs[:2])
    first.unmark_complete()
    second.analysis_path.write_text('{"step": 4, "best": {"features": "layer_0", "r2": 0.95}}\n')
    runs, rows = look(sweep)
    assert runs[0].state != RunState.COMPLETE
    assert rows[1]["belief_r2"] == 0.95
    first.mark_complete(8, 0.55)
    runs, rows = look(sweep)
    assert (runs[0].state, runs[0].loss_nats, rows[0]["loss"]) == (RunState.COMPLETE, 0.55, 0.55)
    assert look(sweep) == (runs, rows)


def test_a_worker_passes_over_what_is_known_to_be_complete(sweep, monkeypatch):
    runs, looked_at = sweep.read_manifest().runs, []
    read_completion = RunDirectory.read_completion

    def read(directory):
        looked_at.append(directory.path.name)
        return read_completion(directory)

    monkeypatch.setattr(RunDirectory, "read_completion", read)
    for run in runs:
        sweep.run_directory(run).config_path.touch()

    def claimed():
        looked_at.clear()
        queue = RunQueue(sweep, runs, {}, lambda directory: RunLock(directory.lock_path), lambda seconds: False)
        return [claim.lock.release() or claim.run.index for claim in queue.claims()]

    assert (claimed(), set(looked_at)) == ([2], {"0", "1", "2"})
    look(sweep)
    assert (claimed(), set(looked_at)) == ([2], {"2"})
    sweep.run_directory(runs[0]).mark_complete(3, 0.6)
    assert claimed() == [0, 2]


@pytest.mark.parametrize("order", [1, -1, 7])
def test_answers_are_found_in_any_order_and_of_any_length_and_the_last_of_a_run_counts(tmp_path, order):
    path = tmp_path / "answers.txt"
    answers = ["x" * (20_000 if index % 100 == 50 else 90 + index % 60) for index in range(1000)]
    for kept_for in ("old", "new"):
        kept = _kept_answers.KeptAnswers(path)
        for index, answer in enumerate(answers):
            kept.add(index, kept_for, kept_for + answer)
        kept.save()
    kept, other = _kept_answers.KeptAnswers(path), _kept_answers.KeptAnswers(path)
    for number in range(1000):
        index = number * order % 1000
        assert kept.take(index, "new") == f"new{answers[index]}"
        assert other.take(index, "old") is None


def test_a_sweep_that_may_not_be_written_is_still_shown(sweep):
    for path in (sweep.complete_runs_path, sweep.results_path):
        path.mkdir()
    runs, rows = look(sweep)
    assert [run.state for run in runs[:2]] == [RunState.COMPLETE] * 2
    assert json.dumps(list(map(dict, rows)))


def test_whoever_looks_writes_through_no_symbolic_link(sweep, tmp_path):
    diary = tmp_path / "diary"
    diary.write_text("mine")
    for path in (sweep.complete_runs_path, sweep.results_path):
        path.symlink_to(diary)
    look(sweep)
    assert diary.read_text() == "mine"


def test_what_another_version_has_kept_is_read_again(sweep, monkeypatch):
    directories = [sweep.run_directory(run) for run in sweep.read_manifest().runs]
    directories[0].analysis_path.unlink()
    look(sweep)
    for directory in directories:
        directory.metrics_path.write_text('{"step": 4, "loss": 0.7, "accuracy": 0.75}\n')
    assert [row["accuracy"] for row in look(sweep)[1]] == [0.5, 0.5, 0.75]
    monkeypatch.setattr(_kept_answers, "_FORMAT", 0)
    assert [row["accuracy"] for row in look(sweep)[1]] == [0.75, 0.75, 0.75]


def test_a_line_whose_parts_two_computers_have_written_is_read_again(sweep, read):
    first = look(sweep)
    for path in (sweep.complete_runs_path, sweep.results_path):
        zero, one = path.read_text().splitlines()
        path.write_text(zero[: zero.rindex(",")] + one[one.rindex(",") :] + "\n")
    read.clear()
    assert look(sweep) == first
    assert sorted(read) == [0, 1, 2]
