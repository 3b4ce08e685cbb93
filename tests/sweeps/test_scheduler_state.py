"""Which of its tasks a run has, and what SLURM says of them: arrays, jobs that replace others, workers."""

from collections import namedtuple

import pytest

from simplexity.runs import EventKind, Ledger
from simplexity.sweeps import RunState, _scheduler_state, _sweep_status, cancel, read_status
from simplexity.sweeps._status_text import next_commands
from tests.sweeps.conftest import queued, record

Accounted = namedtuple("Accounted", "state exit_code nodes")  # as `simplexity.cluster.accounted_tasks` has them
START, SAVED, PREEMPTED, FAILED = EventKind.START, EventKind.CHECKPOINT, EventKind.PREEMPTED, EventKind.FAILED


def record_exit(sweep, worker, code, line):
    """Gives a worker a log and an exit code."""
    log = sweep.worker_log_path(worker)
    log.parent.mkdir(exist_ok=True)
    log.write_text(f"{line}\n")
    log.with_suffix(".exit").write_text(f"{code}\n")


def test_a_resubmitted_run_is_known_whatever_it_has_printed_since(make_sweep, slurm_launch, slurm):
    sweep = make_sweep({}, {}, launch=slurm_launch())
    sweep.record_submission([0, 1], "7")
    record(sweep, 1, START, SAVED, PREEMPTED)
    sweep.log_path(1).parent.mkdir()
    sweep.log_path(1).write_text("batch script: submitted 19 in its place\n" + "module load cuda\n" * 100)
    sweep.resubmissions_path("1").write_text("18\n19;cluster\n")
    slurm["queue"] = {"7_0": queued("RUNNING"), "7_1": queued("FAILED"), "19_1": queued("COMPLETING")}
    assert [run.state for run in read_status(sweep).runs] == [RunState.RUNNING, RunState.WAITING]


def test_what_was_submitted_anew_while_slurm_was_asked_has_not_stopped(make_sweep, slurm_launch, slurm, monkeypatch):
    """Its task has ended in SLURM's answer, and the line about the new one was not there before the question."""
    sweep = make_sweep({}, {}, launch=slurm_launch())
    sweep.record_submission([0], "7")
    sweep.record_submission([1], "8", None, num_workers=2)
    for index in (0, 1):
        record(sweep, index, START, SAVED, PREEMPTED)
    sweep.log_path(0).parent.mkdir()
    slurm["queue"] = {"7_0": queued("PREEMPTED"), "8_0": queued("COMPLETED"), "8_1": queued("PREEMPTED")}
    ask = _scheduler_state.queued_tasks

    def submit_anew_and_ask(jobs):
        sweep.resubmissions_path("0").write_text("19\n")
        sweep.resubmissions_path("array_1_1").write_text("20\n")
        return ask(jobs)

    monkeypatch.setattr(_scheduler_state, "queued_tasks", submit_anew_and_ask)
    assert [run.state for run in read_status(sweep).runs] == [RunState.WAITING] * 2


def test_what_was_completed_while_slurm_was_asked_is_not_lost(make_sweep, slurm_launch, slurm, monkeypatch):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7")
    record(sweep, 0, START, SAVED)
    directory = sweep.run_directory(sweep.read_manifest().run(0))
    slurm["queue"] = {"7_0": queued("COMPLETED")}
    ask = _scheduler_state.queued_tasks

    def complete_and_ask(jobs):
        directory.mark_complete(4, 0.5, 0.25, 0.25)
        return ask(jobs)

    monkeypatch.setattr(_scheduler_state, "queued_tasks", complete_and_ask)
    assert read_status(sweep).runs[0].state == RunState.COMPLETE


@pytest.mark.parametrize(("on_slurm", "expected"), [(True, [0, 0, 1, 2, 2]), (False, [0, 1, 2])])
def test_only_runs_that_may_have_ended_while_slurm_was_asked_are_read_again(
    on_slurm, expected, make_sweep, slurm_launch, slurm, monkeypatch
):
    sweep = make_sweep({}, {}, {}, **({"launch": slurm_launch()} if on_slurm else {}))
    sweep.record_submission([0, 1, 2], "7" if on_slurm else None)
    record(sweep, 0, START, SAVED)
    slurm["queue"] = {"7_2": queued("FAILED")}
    real, indices = _sweep_status.read_run, []

    def read_run(sweep, run):
        indices.append(run.index)
        return real(sweep, run)

    monkeypatch.setattr(_sweep_status, "read_run", read_run)
    read_status(sweep)
    assert sorted(indices) == expected


def test_an_array_with_an_offset(make_sweep, slurm_launch, slurm):
    sweep = make_sweep({}, {}, {}, launch=slurm_launch())
    sweep.record_submission([0, 1], "7")
    sweep.record_submission([2], "8", first_index=2)
    slurm["queue"] = {"7_0": queued("RUNNING"), "7_1": queued("PENDING"), "8_0": queued("RUNNING", "n2")}
    runs = read_status(sweep).runs
    assert [run.state for run in runs] == [RunState.RUNNING, RunState.PENDING, RunState.RUNNING]
    assert runs[2].node == "n2"


def test_the_runs_of_workers(make_sweep, slurm_launch, slurm):
    """Any worker may execute any run, so all that SLURM knows is whether there is one."""
    sweep = make_sweep({}, {}, {}, {}, launch=slurm_launch())
    sweep.record_submission([0, 1, 2, 3], "7", None, 2)
    name = "array_0"
    for index, kinds in enumerate([(START, FAILED), (START, SAVED, PREEMPTED), (START, SAVED)]):
        for step, kind in enumerate(kinds):
            ledger = Ledger(sweep.run_directory(sweep.read_manifest().run(index)).ledger_path)
            ledger.append(kind, step, submission=name if kind == START else None)
    slurm["queue"] = {"7_0": queued("RUNNING"), "7_1": queued("FAILED")}
    expected = [RunState.FAILED, RunState.WAITING, RunState.WAITING, RunState.PENDING]
    assert [run.state for run in read_status(sweep).runs] == expected
    slurm["queue"] = {"7_0": queued("COMPLETED"), "7_1": queued("FAILED")}
    expected = [RunState.FAILED, RunState.STOPPED, RunState.LOST, RunState.MISSING]
    assert [run.state for run in read_status(sweep).runs] == expected
    slurm["queue"] = {"7_0": queued("COMPLETED"), "7_1": queued("CANCELLED")}
    assert [run.state for run in read_status(sweep).runs][1:] == [RunState.CANCELLED] * 3
    sweep.worker_log_path(f"{name}_0").parent.mkdir()
    sweep.worker_log_path(f"{name}_0").write_text("the image is gone\n")
    slurm["queue"] = {"7_0": queued("FAILED"), "7_1": queued("FAILED")}
    (*_, last) = read_status(sweep).runs
    assert (last.state, last.reason) == (RunState.FAILED, "the workers of its job 7_1 ended: FAILED")
    sweep.worker_log_path(f"{name}_0").with_suffix(".exit").write_text("1\n")
    expected = [
        (RunState.FAILED, "no reason was recorded"),
        (RunState.STOPPED, "saved at step 2"),
        (RunState.LOST, ""),
        (RunState.FAILED, "the image is gone (logs/array_0_0.log)"),
    ]
    # Also once SLURM has forgotten the workers.
    for queue in (slurm["queue"], {}):
        slurm["queue"] = queue
        assert [(run.state, run.reason) for run in read_status(sweep).runs] == expected


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({1: 1}, (RunState.FAILED, "no module named simplexity (logs/array_0_1.log)")),
        # The first was stopped, and has nothing to do with why the second could execute nothing.
        ({0: 85, 1: 1}, (RunState.FAILED, "no module named simplexity (logs/array_0_1.log)")),
        # One that has found nothing more to execute says nothing about a run that was added since.
        ({0: 0, 1: 1}, (RunState.MISSING, "")),
    ],
)
@pytest.mark.parametrize("known", [{0: "FAILED", 1: "FAILED"}, {1: "FAILED"}, {0: "FAILED"}, {}])
def test_what_workers_left_says_the_same_while_slurm_forgets_them(
    make_sweep, slurm_launch, slurm, codes, expected, known
):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7", None, 2)
    sweep.log_path(0).parent.mkdir()
    for number, code in codes.items():
        sweep.worker_log_path(f"array_0_{number}").with_suffix(".exit").write_text(f"{code}\n")
    sweep.worker_log_path("array_0_0").write_text("#5 x: complete\n")
    sweep.worker_log_path("array_0_1").write_text("no module named simplexity\n")
    ends = {number: "COMPLETED" if codes.get(number) == 0 else end for number, end in known.items()}
    slurm["queue"] = {f"7_{number}": queued(end) for number, end in ends.items()}
    (run,) = read_status(sweep).runs
    assert (run.state, run.reason) == expected


@pytest.mark.parametrize("code", [85, 143])
def test_a_worker_that_was_stopped_or_killed_is_not_quoted(make_sweep, slurm_launch, slurm, code):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7", None, 2)
    record_exit(sweep, "array_0_0", code, "#5 x: stopped")
    slurm["queue"] = {"7_0": queued("FAILED"), "7_1": queued("OUT_OF_MEMORY")}
    (run,) = read_status(sweep).runs
    expected = (RunState.MISSING, "the workers of its job 7_1 ended: FAILED, OUT_OF_MEMORY")
    assert (run.state, run.reason) == expected


@pytest.mark.parametrize(
    ("ends", "codes", "expected"),
    [
        ({"7_0": "CANCELLED", "7_1": "FAILED"}, {1: 1}, RunState.CANCELLED),
        ({"7_0": "TIMEOUT", "7_1": "NODE_FAIL"}, {}, RunState.FAILED),
        # The first task of a worker that was submitted anew is not how it ended.
        ({"7_0": "FAILED", "7_1": "COMPLETED", "19_1": "FAILED"}, {1: 1}, RunState.FAILED),
    ],
)
def test_with_accounting_a_state_stays_while_slurm_forgets_the_workers(
    make_sweep, slurm_launch, slurm, ends, codes, expected
):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7", None, 2)
    for number, code in codes.items():
        record_exit(sweep, f"array_0_{number}", code, "boom")
    if "19_1" in ends:
        sweep.resubmissions_path("array_0_1").write_text("19\n")
    slurm["accounting"] = {task: Accounted(end, 1, "n1") for task, end in ends.items()}
    slurm["queue"] = {task: queued(end) for task, end in ends.items()}
    while True:
        assert read_status(sweep).runs[0].state == expected
        if not slurm["queue"]:
            break
        slurm["queue"].popitem()
    slurm["queue"] = {"7_1": queued(ends["7_1"])}
    assert read_status(sweep).runs[0].state == expected


@pytest.mark.parametrize(
    ("kinds", "state", "before"),
    [
        ((START, SAVED), RunState.FAILED, ""),
        ((START, SAVED, PREEMPTED), RunState.STOPPED, "saved at step 2 after boom; not started again: "),
        ((START, SAVED, FAILED), RunState.FAILED, "boom; not started again: "),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_why_workers_could_not_start_a_run_again(make_sweep, slurm_launch, slurm, kinds, state, before, known):
    """What the run has left is of an earlier submission."""
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7", None, 1)
    record(sweep, 0, *kinds, reason="boom")
    record_exit(sweep, "array_1_0", 1, "FATAL: the image is gone")
    sweep.log_path(0).write_text("step 1\n")
    sweep.record_submission([0], "8", None, 1)
    slurm["queue"] = {"8_0": queued("FAILED")} if known else {}
    (run,) = read_status(sweep).runs
    assert (run.state, run.reason) == (state, f"{before}FATAL: the image is gone (logs/array_1_0.log)")


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize(
    ("end", "line"), [("OUT_OF_MEMORY", None), ("FAILED", "srun: error: n1: task 0: Out Of Memory")]
)
def test_the_memory_of_workers_is_advised_to_be_larger(make_sweep, slurm_launch, slurm, begun, end, line):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7", None, 1)
    if begun:
        record(sweep, 0, START, SAVED, PREEMPTED)
    sweep.record_submission([0], "8", None, 2)
    if line is not None:
        record_exit(sweep, "array_1_1", 1, line)
    slurm["queue"] = {"8_0": queued("FAILED"), "8_1": queued(end)}
    lines = next_commands("s", read_status(sweep))
    assert [line.partition(",")[0] for line in lines] == ["run 0 had too little memory"]


def test_what_a_job_has_printed_says_more_than_that_slurm_has_forgotten_it(make_sweep, slurm_launch, slurm):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7")
    record(sweep, 0, START, SAVED)
    sweep.record_submission([0], "8")
    sweep.log_path(0).parent.mkdir()
    sweep.log_path(0).write_text("batch script: no image\n")
    slurm["accounting"] = {}
    assert read_status(sweep).runs[0].reason == "batch script: no image"


def test_a_run_that_never_began_says_what_is_known_of_its_job(make_sweep, slurm_launch, slurm):
    sweep = make_sweep({}, {}, {}, {}, launch=slurm_launch())
    sweep.record_submission([0], "7")
    sweep.record_submission([1], "8", None, 1)
    record(sweep, 3, START, SAVED)  # by hand
    for accounting, own, workers in (
        ({}, "SLURM has forgotten how its job 7_0 ended", "SLURM has forgotten how the workers of its job 8_0 ended"),
        (None, "it is not known how its job 7_0 ended: no accounting",
         "it is not known how the workers of its job 8_0 ended: no accounting"),
    ):  # fmt: skip
        slurm["accounting"] = accounting
        assert [(run.state, run.reason) for run in read_status(sweep).runs] == [
            (RunState.MISSING, own),
            (RunState.MISSING, workers),
            (RunState.MISSING, "it was never submitted"),
            (RunState.LOST, ""),
        ]


def test_a_worker_that_was_resubmitted_is_known(make_sweep, slurm_launch, slurm):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7", None, 2)
    sweep.log_path(0).parent.mkdir()
    sweep.resubmissions_path("array_0_1").write_text("19\n")
    slurm["queue"] = {"7_0": queued("COMPLETED"), "7_1": queued("COMPLETED"), "19_1": queued("PENDING")}
    assert [run.state for run in read_status(sweep).runs] == [RunState.PENDING]


def test_of_a_complete_sweep_there_is_nothing_to_cancel(make_sweep, slurm_launch):
    sweep = make_sweep({}, launch=slurm_launch())
    sweep.record_submission([0], "7")
    sweep.run_directory(sweep.read_manifest().run(0)).mark_complete(4, 0.5, 0.25, 0.25)
    assert cancel(sweep) == "no run is pending or running"
