"""What a run began with beside its config, and what it says when that has changed."""

import json
import subprocess
import sys

import jax
import numpy as np

from simplexity.runs import EventKind, RunDirectory, read_ledger

from .small_runs import assert_same_run, environment, run

NPZ = "{_target_: simplexity.generative_processes.from_npz, path: '%s'}"


def resume(run_dir, cache):
    words = [sys.executable, "-P", "-m", "simplexity.cli", "resume", str(run_dir)]
    return subprocess.run(words, env=environment(cache), capture_output=True, text=True, timeout=300)


def test_a_run_goes_on_without_its_file_and_says_which_versions_changed(cache, tmp_path):
    file, stopped, whole = tmp_path / "coin.npz", tmp_path / "stopped", tmp_path / "whole"
    np.savez(file, transition_matrices=np.array([[[0.25]], [[0.75]]]))
    process = ("~training_data_generator.instance", f"+training_data_generator.instance={NPZ % file}")
    assert run(whole, "gru", *process, cache=cache).returncode == 0
    assert run(stopped, "gru", *process, cache=cache, stop_at=("save_after_commit", "SIGTERM", 2)).returncode == 85
    file.unlink()
    directory = RunDirectory(stopped)
    records = json.loads(directory.environment_path.read_text())
    assert len(records) == 1
    records[0]["versions"]["jax"] = "0.0.1"
    directory.environment_path.write_text(json.dumps(records))

    auto = directory.config_path.read_text()
    directory.config_path.write_text(auto.replace("resume: auto", "resume: strict"))
    refused = resume(stopped, cache)
    assert refused.returncode == 2
    assert refused.stderr.startswith("`persistence.resume`: is strict, and since this run's last start these have")
    assert "jax 0.0.1 -> " in refused.stderr
    assert refused.stderr.count("\n") == 1

    directory.config_path.write_text(auto)
    resumed = resume(stopped, cache)
    assert resumed.returncode == 0, resumed.stderr
    assert f"have changed: jax 0.0.1 -> {jax.__version__}; numbers may differ in the last digits" in resumed.stdout
    assert_same_run(stopped, whole)


def test_a_run_without_checkpoints_says_that_it_saved_nothing(cache, tmp_path):
    run_dir = tmp_path / "run"
    stopped = run(run_dir, "gru", "persistence.instance=null", cache=cache, stop_at=("validation", "SIGTERM", 1))
    assert stopped.returncode == 85
    (line,) = [line for line in stopped.stdout.splitlines() if line.startswith("stopped at step ")]
    assert "by SIGTERM; nothing is saved, because `persistence.instance` is null; to start again at step 0: " in line
    event = read_ledger(RunDirectory(run_dir).ledger_path)[-1]
    assert (event.kind, event.step) == (EventKind.PREEMPTED, 0)
    assert "nothing is saved" in (event.reason or "")
