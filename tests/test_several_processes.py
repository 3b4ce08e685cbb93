"""A run in two processes: the same numbers as in one, one set of files, and together to the end, whatever comes."""

import os
import signal

import numpy as np
import pytest

from simplexity.runs import EventKind, RunDirectory, read_json_lines, read_ledger

from .small_runs import ANALYSIS, assert_same_run, final_arrays, metric_lines, run
from .step_tasks import run_in_tasks, start_first_task

MODEL = "gru"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def together(tmp_path_factory, cache):
    """The run directory of an uninterrupted run in two processes."""
    run_dir = tmp_path_factory.mktemp("together") / "a run"
    with pytest.MonkeyPatch.context() as patch:
        # As clusters have one, and no program answers there.
        patch.setenv("http_proxy", "http://127.0.0.1:9")
        tasks = run_in_tasks(run_dir, MODEL, *ANALYSIS, cache=cache)
    assert [task.returncode for task in tasks] == [0, 0], tasks
    assert "final loss" in tasks[0].stdout
    assert "loss" not in tasks[1].stdout
    assert [task.stderr for task in tasks] == ["", ""]
    assert [line["step"] for line in read_json_lines(RunDirectory(run_dir).analysis_path)] == [10, 20, 30]
    return run_dir


def assert_nearly_the_same(run_dir, reference) -> None:
    arrays, expected = final_arrays(run_dir), final_arrays(reference)
    assert arrays.keys() == expected.keys()
    for name, (dtype, content) in arrays.items():
        one, other = np.frombuffer(content, dtype), np.frombuffer(expected[name][1], dtype)
        np.testing.assert_allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE, err_msg=name)
    lines, expected_lines = metric_lines(run_dir), metric_lines(reference)
    assert [line.keys() for line in lines] == [line.keys() for line in expected_lines]
    for line, expected_line in zip(lines, expected_lines, strict=True):
        for name in line:
            np.testing.assert_allclose(line[name], expected_line[name], rtol=1e-3, atol=1e-4, err_msg=name)


def events(run_dir):
    return read_ledger(RunDirectory(run_dir).ledger_path)


def test_two_processes_compute_what_one_does(together, uninterrupted):
    assert_nearly_the_same(together, uninterrupted(MODEL))
    kinds = [event.kind for event in events(together)]
    assert kinds == [event.kind for event in events(uninterrupted(MODEL))]


def test_two_devices_of_one_process_compute_what_one_does(uninterrupted, cache, tmp_path):
    done = run(tmp_path / "run", MODEL, cache=cache, variables={"JAX_NUM_CPU_DEVICES": "2"})
    assert done.returncode == 0, done.stderr
    assert_nearly_the_same(tmp_path / "run", uninterrupted(MODEL))


@pytest.mark.parametrize("stopped", [("command", 4), ("mid_chunk", 4)], ids=["process 1", "process 0"])
def test_a_signal_to_one_process_stops_both_at_the_same_step(stopped, together, cache, tmp_path):
    phase, count = stopped
    run_dir = tmp_path / "run"
    process = 1 if phase == "command" else 0
    tasks = run_in_tasks(run_dir, MODEL, cache=cache, stop_at={process: (phase, "SIGTERM", count)})
    assert [task.returncode for task in tasks] == [85, 85], tasks
    last = events(run_dir)[-1]
    assert last.kind == EventKind.PREEMPTED
    assert last.reason == ("SIGTERM in process 1" if process == 1 else "SIGTERM")
    assert 0 < last.step < 30
    saved = [event.step for event in events(run_dir) if event.kind == EventKind.CHECKPOINT]
    assert saved[-1] == last.step
    assert len(saved) == len(set(saved))

    assert [task.returncode for task in run_in_tasks(run_dir, MODEL, cache=cache)] == [0, 0]
    assert_same_run(run_dir, together)


def test_what_a_killed_process_leaves_is_gone_on_with(together, cache, tmp_path):
    run_dir = tmp_path / "run"
    killed, other = reversed(run_in_tasks(run_dir, MODEL, cache=cache, stop_at={1: ("command", "SIGKILL", 6)}))
    assert (killed.returncode, other.returncode) == (-signal.SIGKILL, 1)
    assert other.stderr.splitlines()[-1].startswith(
        "the processes of this run cannot take a step together (is one lost?): "
    )
    assert events(run_dir)[-1].kind == EventKind.FAILED

    killed, other = run_in_tasks(run_dir, MODEL, cache=cache, stop_at={0: ("mid_chunk", "SIGKILL", 3)})
    assert killed.returncode == -signal.SIGKILL
    assert other.returncode not in (0, 85)

    assert [task.returncode for task in run_in_tasks(run_dir, MODEL, cache=cache)] == [0, 0]
    assert_same_run(run_dir, together)


def test_a_batch_that_cannot_be_shared_is_refused_by_all(cache, tmp_path):
    tasks = run_in_tasks(tmp_path / "run", MODEL, "training.batch_size=5", cache=cache)
    assert [task.returncode for task in tasks] == [2, 2]
    assert tasks[0].stderr == "`training.batch_size`: must be divisible by the number of devices, 2, got 5\n"
    assert tasks[1].stderr == ""
    assert os.listdir(tmp_path) == []


def test_processes_with_different_commands_are_told_to_be_different_steps(cache, tmp_path):
    tasks = run_in_tasks(tmp_path / "run", MODEL, cache=cache, only={0: ("seed=0",), 1: ("seed=1",)})
    assert [task.returncode for task in tasks] == [1, 1]
    assert "start each run with an `srun --ntasks=1` of its own" in tasks[0].stderr


def test_a_sweep_is_no_job_for_several_tasks(cache, tmp_path):
    tasks = run_in_tasks(tmp_path / "run", MODEL, "--multirun", "seed=0,1", cache=cache)
    assert [task.returncode for task in tasks] == [2, 2]
    assert "call it without srun" in tasks[0].stderr


def test_a_task_whose_others_never_come_says_what_it_waits_for_and_hears_a_signal(cache, tmp_path):
    """As in `srun -n2 --pty bash`, whose second task has ended when the first one's user types."""
    with start_first_task(tmp_path / "run", MODEL, cache=cache) as task:
        assert task.stderr is not None
        said = task.stderr.readline()
        task.send_signal(signal.SIGTERM)
        rest = task.stderr.read()
        assert task.wait(timeout=20) == 85
    assert said.startswith("waiting for the other processes of this job step: SLURM says that it has 2")
    assert "SLURM_STEP_NUM_TASKS=1" in said
    assert rest == "stopped by SIGTERM while it waited for the other processes of its job step\n"
    assert not (tmp_path / "run").exists()
