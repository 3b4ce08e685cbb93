"""An array task whose sweep's own files cannot be read: it is started once more, and then fails."""

import itertools

import pytest

from simplexity import cli
from simplexity.running._outcome import RunResult
from simplexity.running._resume import execute_frozen
from simplexity.runs import ExitCode, RunDirectory, UnreadableError
from simplexity.sweeps import SweepDirectory
from tests.sweeps.conftest import sweep_in


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep of one run, which anything completes that executes it."""
    sweep = sweep_in(tmp_path, {})
    sweep.record_submission([0], job_id="7", num_workers=1)
    (sweep.path / "logs").mkdir()

    def end(exit_code, guard):
        raise SystemExit(int(exit_code))

    monkeypatch.setattr("simplexity.running.exit_process", end)
    monkeypatch.setattr("simplexity.running._resume.restore_surroundings", lambda run_dir: None)
    monkeypatch.setattr("simplexity.running._resume.configure_accelerator", lambda: None)
    monkeypatch.setattr("simplexity.running._resume.execute_frozen", unchecked)
    # No config that trains: neither is it checked, nor is anything made of it.
    config = "training: {num_train_steps: 4}\npersistence: {instance: null}\n"
    sweep.run_directory(sweep.read_run(0)).config_path.write_text(config)
    monkeypatch.setattr("simplexity.running._resume.with_kept_files", lambda config, directory: config)
    monkeypatch.setattr("simplexity.running._attempt.attempt", lambda *_: RunResult(ExitCode.COMPLETE, 0.5))
    monkeypatch.setattr("simplexity.running._sweep_worker.SectionCheck", lambda: lambda config: [])
    monkeypatch.setattr("simplexity.running._sweep_worker.configure_accelerator", lambda: None)
    monkeypatch.setattr("simplexity.running._devices.start_jax", lambda *_: "cpu")
    return sweep


def unchecked(*arguments, **keywords) -> int:
    """`execute_frozen` of a config without mistakes."""
    return execute_frozen(*arguments, **{"problems_of": lambda config: [], **keywords})


def start(*words) -> int:
    try:
        return cli.main([*map(str, words)])
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("what", ["read_manifest", "read_submissions", "open"])
@pytest.mark.parametrize("command", ["resume", "work"])
def test_a_sweep_that_cannot_be_read_ends_the_second_start_only(sweep, monkeypatch, caplog, capfd, what, command):
    if (command, what) == ("resume", "read_submissions"):
        what = "read_run"
    words = ["work", "--place", "array_0/0/1", sweep.path]
    if command == "resume":
        words = ["resume", "--sweep", sweep.path, "--index", 0]

    def fails(*_, **__):
        raise UnreadableError(f"{what} failed")

    def start_without_it():
        with monkeypatch.context() as patch:
            patch.setattr(SweepDirectory, what, fails)
            return start(*words)

    assert start_without_it() == ExitCode.FAILED, "nothing would start it again"
    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    assert start_without_it() == ExitCode.REQUEUE
    assert f"{what} failed; this start is made once more" in caplog.text
    assert start_without_it() == ExitCode.FAILED
    assert f"{what} failed" in capfd.readouterr().err
    # One that can read begins to count anew.
    assert start(*words) == ExitCode.COMPLETE
    assert not list((sweep.path / "logs").glob("*.unreadable"))
    assert start_without_it() == ExitCode.REQUEUE


def test_read_errors_of_the_sweep_and_of_the_run_in_turns_end_the_second_start(sweep, monkeypatch):
    def fails(*_, **__):
        raise UnreadableError("it cannot be read")

    def start_without(*what):
        with monkeypatch.context() as patch:
            patch.setattr(*what, fails)
            return start("resume", "--sweep", sweep.path, "--index", 0)

    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    in_turns = [
        (SweepDirectory, "read_run"),
        ("simplexity.running._resume.restore_surroundings",),
        (RunDirectory, "read_completion"),
        ("simplexity.running._resume.load_frozen",),
    ]
    for first, second in itertools.pairwise([*in_turns, in_turns[0]]):
        assert start_without(*first) == ExitCode.REQUEUE
        assert start_without(*second) == ExitCode.FAILED


def test_a_worker_that_has_read_all_and_found_nothing_to_execute_counts_anew(sweep, monkeypatch):
    sweep.run_directory(sweep.read_run(0)).mark_complete(4, 0.5)
    note = sweep.unreadable_path("array_0_0")
    note.write_text("an earlier start")
    assert start("work", "--place", "array_0/0/1", sweep.path) == ExitCode.COMPLETE
    assert not note.exists()


def test_a_worker_that_was_started_by_hand_says_what_it_cannot_read(sweep, monkeypatch, capfd):
    def fails(*_, **__):
        raise UnreadableError("it failed")

    monkeypatch.setenv("SIMPLEXITY_SUBMISSION", "array_0")
    monkeypatch.setattr(SweepDirectory, "read_manifest", fails)
    assert start("work", sweep.path) == ExitCode.FAILED
    assert capfd.readouterr().err.splitlines()[-1] == "simplexity: it failed"


def test_a_task_that_can_read_the_sweep_keeps_the_note_of_another_until_they_have_joined(sweep, monkeypatch):
    note = sweep.unreadable_path("0")
    note.write_text("noted by another task")

    def joined(start, guard):
        assert note.exists()
        code = start()
        assert not note.exists()
        return code

    monkeypatch.setattr("simplexity.running._resume.in_all_tasks", joined)
    assert start("resume", "--sweep", sweep.path, "--index", 0) == ExitCode.COMPLETE
