"""The exit-code contract on a real SLURM: what is stopped comes back exactly once, what is cancelled does not."""

import signal

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("patience")]

REQUEUES = ("--preempt-mode=requeue",)
SIGTERM_ONLY = ("--preempt-mode=requeue", "--no-user-signal")
ACCOUNTED = ("--preempt-mode=requeue", "--accounting")
CANCELS = ("--preempt-mode=cancel", "--no-user-signal")
CANCELS_AT_ONCE = ("--preempt-mode=cancel", "--no-user-signal", "--grace=0")


@pytest.mark.parametrize(
    ("options", "first_signal"),
    [
        (REQUEUES, signal.SIGUSR2),
        (ACCOUNTED, signal.SIGUSR2),
        (SIGTERM_ONLY, signal.SIGTERM),
        (CANCELS, signal.SIGTERM),
        (CANCELS_AT_ONCE, signal.SIGTERM),
    ],
    ids=["requeue", "requeue-accounted", "requeue-without-user-signal", "cancel", "cancel-without-grace"],
)
def test_preempted_array_tasks_come_back_once_each(dev_cluster, tmp_path, options, first_signal):
    cluster = dev_cluster(*options)
    sweep = cluster.sweep(tmp_path / "sweep", 3, work={"starts": 2, "save_s": 1})
    sweep.wait_for_start()
    cluster.preempt_everything()
    sweep.wait_for_end()
    for index in sweep.runs:
        starts = [line.split() for line in sweep.lines(index, "starts")]
        assert [restart for _, restart in starts] == ["0", "1"]
        assert len({job for job, _ in starts}) == 1
        assert sweep.lines(index, "told") == [str(int(first_signal))]
        assert sweep.took_each_step_once(index)
        assert sweep.task(index).state == "COMPLETED"


@pytest.mark.parametrize("options", [REQUEUES, CANCELS], ids=["requeue", "cancel"])
@pytest.mark.parametrize("in_grace_time", [False, True])
def test_scancel_brings_nothing_back(dev_cluster, tmp_path, options, in_grace_time):
    cluster = dev_cluster(*options)
    sweep = cluster.sweep(tmp_path / "sweep", 2, work={"starts": 2, "hangs": in_grace_time})
    sweep.wait_for_start()
    if in_grace_time:
        high = cluster.preempt_everything()
        cluster.wait_until(lambda: all(sweep.lines(index, "told") for index in sweep.runs))
        cluster.slurm("scancel", high)
    cluster.slurm("scancel", sweep.job_id)
    cluster.wait_until(lambda: all(sweep.task(index).state == "CANCELLED" for index in sweep.runs))
    for index in sweep.runs:
        assert len(sweep.lines(index, "starts")) == 1
        # A run that does not leave is killed by SLURM together with its batch script, which may not get to say it.
        assert in_grace_time or "was cancelled and is not requeued" in sweep.log(index)


def test_a_cancelled_task_leaves_the_others_alone(dev_cluster, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    sweep = cluster.sweep(tmp_path / "sweep", 2, work={"starts": 2})
    sweep.wait_for_start()
    cluster.slurm("scancel", f"{sweep.job_id}_1")
    cluster.wait_until(lambda: sweep.task(1).state == "CANCELLED")
    cluster.preempt_everything()
    cluster.wait_until(lambda: sweep.lines(0, "ends"))
    assert sweep.took_each_step_once(0)
    assert len(sweep.lines(1, "starts")) == 1


def test_a_task_that_slurm_refuses_to_requeue_is_submitted_anew(dev_cluster, tmp_path):
    cluster = dev_cluster(*CANCELS)
    sweep = cluster.sweep(tmp_path / "sweep", 2, work={"starts": 2})
    sweep.wait_for_start()
    for index in sweep.runs:
        cluster.slurm("scontrol", "update", f"JobId={sweep.job_id}_{index}", "Requeue=0")
    cluster.preempt_everything()
    sweep.wait_for_end()
    for index in sweep.runs:
        first, second = (line.split() for line in sweep.lines(index, "starts"))
        assert first[0] != second[0]
        assert second[1] == "0"
        assert sweep.took_each_step_once(index)


def test_a_run_that_dies_of_the_signal_before_it_can_handle_it_comes_back(dev_cluster, tmp_path):
    cluster = dev_cluster(*CANCELS)
    sweep = cluster.sweep(tmp_path / "sweep", 1, work={"starts": 2, "unready": True})
    sweep.wait_for_start()
    cluster.slurm("scancel", "--signal=USR2", sweep.job_id)
    sweep.wait_for_end()
    assert [line.split()[1] for line in sweep.lines(0, "starts")] == ["0", "1"]


@pytest.mark.parametrize("options", [REQUEUES, CANCELS], ids=["requeue", "cancel"])
def test_a_node_that_fails_gives_its_task_back(dev_cluster, tmp_path, options):
    cluster = dev_cluster(*options)
    sweep = cluster.sweep(tmp_path / "sweep", 1, work={"starts": 2})
    sweep.wait_for_start()
    cluster.slurm("scontrol", "update", f"NodeName={sweep.task(0).nodes}", "State=DOWN", "Reason=test")
    sweep.wait_for_end()
    assert [line.split()[1] for line in sweep.lines(0, "starts")] == ["0", "1"]
    assert sweep.task(0).state == "COMPLETED"


@pytest.mark.parametrize("exit_code", [1, 2])
def test_a_run_that_fails_is_shown_as_failed(dev_cluster, tmp_path, exit_code):
    cluster = dev_cluster(*REQUEUES)
    sweep = cluster.sweep(tmp_path / "sweep", 1, work={"steps": 1, "exit_code": exit_code})
    sweep.wait_for_end()
    assert sweep.task(0).state == "FAILED"
    assert f"ExitCode={exit_code}:0" in cluster.slurm("scontrol", "--oneliner", "show", "job", f"{sweep.job_id}_0")
    assert len(sweep.lines(0, "starts")) == 1


def test_paths_and_values_of_any_characters(dev_cluster, tmp_path):
    cluster = dev_cluster(*REQUEUES)
    hostile = "a b'c\"d $HOME `id` %a \\n\nü;&#"
    folder = tmp_path / hostile
    sweep = cluster.sweep(folder / "sweep", 2, environment={"HOSTILE": hostile}, setup=['echo "<$HOSTILE> in $PWD"'])
    sweep.wait_for_end()
    for index in sweep.runs:
        assert f"<{hostile}> in {folder}\n" in sweep.log(index)
        assert sweep.task(index).state == "COMPLETED"


def test_the_request_to_requeue_outlasts_a_restart_of_the_controller(patience):
    with patience.cluster.environment():
        patience.orphaned.wait_for_end()
    assert len(patience.orphaned.lines(0, "starts")) == 2
    assert patience.orphaned.took_each_step_once(0)


@pytest.mark.timeout(900)
def test_runs_that_need_more_than_their_time_limit_complete(patience):
    """180 s of work in steps of 0.1 s are three times the limit; none is lost."""
    saving, hanging = patience.saving, patience.hanging
    with patience.cluster.environment():
        saving.wait_for_end(timeout_s=500)
        hanging.wait_for_end()
    assert len(saving.lines(0, "starts")) >= 4
    assert saving.took_each_step_once(0)
    assert set(saving.lines(0, "told")) == {str(int(signal.SIGUSR2))}
    assert [line.split()[1] for line in hanging.lines(0, "starts")] == ["0", "1"]
