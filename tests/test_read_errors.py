"""Errors in reading a run's files, and files that are gone: no start takes them for corruption, none begins anew."""

import errno
import os
import re
import shutil
import subprocess
import sys

import pytest

from simplexity.runs import EventKind, RunDirectory, read_json_lines, read_ledger

from .failing_reads import answers, failing, preload  # noqa: F401  a fixture
from .small_runs import assert_same_run, environment, run

ERRORS = (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EACCES)
# A part of the path, the call that fails, and how many succeed first.
CHECKPOINT_FILES = (
    ("checkpoints", "open", 0),  # the folder
    ("checkpoints", "stat", 0),
    ("/manifest.json", "open", 0),
    ("/manifest.json", "read", 0),
    ("/ocdbt.process_0/d/", "open", 0),
    # From here on below Orbax: after the checksums held.
    ("/state/manifest.ocdbt", "open", 1),
    ("/ocdbt.process_0/d/", "open", 1),
    ("/_METADATA", "open", 1),
)
RUN_FILES = ("/manifest.json", "/run.jsonl", "/metrics.jsonl", "/config.yaml", "/environment.json")
# Files that a start looks for before it reads them.
LOOKED_FOR = (*RUN_FILES[1:], "/COMPLETE", "/lock", "/checkpoints")


@pytest.fixture(scope="module")
def stopped(cache, tmp_path_factory):
    """The directory of a run that was stopped with several checkpoints behind it; only to be copied."""
    run_dir = tmp_path_factory.mktemp("stopped") / "run"
    assert run(run_dir, "gru", stop_at=("save_after_commit", "SIGUSR1", 2), cache=cache).returncode == 85
    return run_dir


@pytest.fixture
def run_dir(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "run")


def newest_step(run_dir):
    return max(int(path.name) for path in RunDirectory(run_dir).checkpoints_path.iterdir() if path.name.isdigit())


def test_a_checkpoint_that_cannot_be_read_is_not_taken_for_corrupt(tmp_path, preload):  # noqa: F811
    cases = [
        failing(path, number, call=call, after=after) for path, call, after in CHECKPOINT_FILES for number in ERRORS
    ]
    folder = tmp_path / "checkpoints"
    found = answers("restore", folder, [*cases, failing("", 0)], os.environ | preload)
    for case, answer in zip(cases, found[:-1], strict=True):
        reason = re.escape(os.strerror(int(case["FAIL_ERRNO"])))
        assert answer["error"].endswith("Error"), (case, answer)
        # Orbax says "not found" of a file about which nothing could be found out.
        expected = f"Orbax .* not found|{reason}" if case["FAIL_CALL"] == "stat" else reason
        assert re.search(expected, answer["value"]), (case, answer)
    assert found[-1] == {"error": "", "value": "2"}
    assert sorted(os.listdir(folder)) == ["1", "2"]


def test_a_file_that_cannot_be_read_ends_the_start_and_changes_nothing(
    run_dir,
    preload,  # noqa: F811
    uninterrupted,
    runner,
    cache,
):
    directory = RunDirectory(run_dir)
    names, metrics = sorted(os.listdir(directory.checkpoints_path)), directory.metrics_path.read_bytes()
    cases = [failing(path, number) for path, number in zip(RUN_FILES, ERRORS, strict=False)]
    cases += [failing(path, errno.ESTALE, call="stat") for path in LOOKED_FOR]
    # Read once more, by the logger that continues the file.
    cases.append(failing("/metrics.jsonl", errno.EIO, after=1))
    for case, answer in zip(cases, answers("start", run_dir, cases, environment(cache) | preload), strict=True):
        assert f"{case['FAIL_PATH']}` cannot be read: {os.strerror(int(case['FAIL_ERRNO']))};" in answer["value"]
    assert sorted(os.listdir(directory.checkpoints_path)) == names
    assert directory.metrics_path.read_bytes() == metrics
    assert runner.run(run_dir, "gru").returncode == 0
    assert_same_run(run_dir, uninterrupted("gru"))


def test_in_a_job_the_first_start_that_cannot_read_any_file_is_made_once_more(
    run_dir,
    preload,  # noqa: F811
    uninterrupted,
    runner,
    cache,
):
    cases = [failing(path, errno.EIO) for path in RUN_FILES]
    cases += [failing(path, errno.ESTALE, call="stat") for path in LOOKED_FOR]
    twice = [case for case in cases for _ in range(2)]
    variables = environment(cache) | preload | {"SIMPLEXITY_SUBMISSION": "array_0"}
    for i, (case, answer) in enumerate(zip(twice, answers("start", run_dir, twice, variables), strict=True)):
        assert answer["value"].startswith(f"exit code {1 if i % 2 else 85}:"), (case, answer)
    assert runner.run(run_dir, "gru").returncode == 0
    assert not RunDirectory(run_dir).unreadable_path.exists()
    assert_same_run(run_dir, uninterrupted("gru"))


def test_a_read_error_ends_the_real_script_with_1_and_in_one_line(run_dir, preload, cache):  # noqa: F811
    variables = preload | failing("/ocdbt.process_0/d/", errno.EIO, call="read")
    done = run(run_dir, "gru", cache=cache, variables=variables)
    assert done.returncode == 1
    assert re.fullmatch(
        r"`.*/ocdbt\.process_0/d/\w+` cannot be read: Input/output error; start again .*\n", done.stderr
    )
    assert not list(RunDirectory(run_dir).checkpoints_path.glob("*corrupt*"))


@pytest.mark.parametrize("path", ["/.hydra/hydra.yaml", "/config.yaml"])
def test_a_config_that_cannot_be_read_is_no_mistake_in_it(path, run_dir, preload, cache):  # noqa: F811
    words = [sys.executable, "-P", "-m", "simplexity.cli", "resume", str(run_dir)]
    variables = environment(cache) | preload | failing(path, errno.ESTALE)
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"`{run_dir}{path}` cannot be read: Stale file handle; start again")


def test_a_read_error_that_passes_costs_nothing(run_dir, preload, uninterrupted, cache):  # noqa: F811
    variables = preload | failing("/manifest.json", errno.ESTALE, times=2)
    done = run(run_dir, "gru", cache=cache, variables=variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Stale file handle; trying again") == 2
    assert_same_run(run_dir, uninterrupted("gru"))


@pytest.mark.parametrize("what", ["folder", "content", "all corrupt"])
def test_a_run_whose_checkpoints_are_gone_begins_again_on_purpose_only(what, run_dir, uninterrupted, cache):
    directory = RunDirectory(run_dir)
    step, metrics = newest_step(run_dir), directory.metrics_path.read_bytes()
    if what == "all corrupt":
        for manifest in directory.checkpoints_path.glob("*/manifest.json"):
            manifest.write_text("{}")
    else:
        shutil.rmtree(directory.checkpoints_path)
    if what == "content":
        directory.checkpoints_path.mkdir()
    for answer in answers("start", run_dir, 2 * [failing("", 0)], environment(cache)):
        assert re.search(
            rf"no valid checkpoint, but .* step {step}: .* at step 0 instead, remove .*/run\.jsonl and metrics\.jsonl$",
            answer["value"],
        )
    assert directory.metrics_path.read_bytes() == metrics
    directory.ledger_path.unlink()
    (answer,) = answers("start", run_dir, [failing("", 0)], environment(cache))
    assert re.search(r"/metrics\.jsonl has lines up to step \d+, .* instead, remove metrics\.jsonl$", answer["value"])
    assert directory.metrics_path.read_bytes() == metrics
    directory.metrics_path.unlink()
    assert answers("start", run_dir, [failing("", 0)], environment(cache))[0]["value"] == "0"
    assert_same_run(run_dir, uninterrupted("gru"))


@pytest.mark.parametrize("lost", ["all", "the end"])
def test_lost_metrics_and_snapshots_are_said_and_written_down(lost, run_dir, runner):
    directory = RunDirectory(run_dir)
    lines = directory.metrics_path.read_bytes().splitlines(keepends=True)
    directory.metrics_path.write_bytes(b"".join(lines[:1]))
    if lost == "all":
        directory.metrics_path.unlink()
    (directory.snapshots_path / "3.safetensors").unlink()
    last, step = 0 if lost == "all" else 5, newest_step(run_dir)
    done = runner.run(run_dir, "gru")
    assert done.returncode == 0, done.stderr
    reasons = [
        f"{what}, though the checkpoint is of step {step}"
        for what in (f"metrics.jsonl had no lines after step {last}", "snapshots had nothing of step 3")
    ]
    assert all(reason in done.stdout for reason in reasons)
    (resume,) = [event for event in read_ledger(directory.ledger_path) if event.kind == EventKind.RESUME]
    assert resume.reason == "; ".join(reasons)
    assert read_json_lines(directory.metrics_path)[-1]["step"] == 30
