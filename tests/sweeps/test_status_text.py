"""`simplexity status` in words: the table, the best run, and what to type next."""

import re

import pytest

from simplexity.runs import Goodput
from simplexity.sweeps import RunState, describe, read_status, status_lines
from simplexity.sweeps._status_text import best_run, excess_text, next_commands, totals


@pytest.mark.parametrize(
    ("losses", "excesses", "best"),
    [
        ((0.8, 0.7), (0.01, 0.1), 0),
        ((0.8, 0.7), (0.01, None), 1),
        ((None, 0.7), (None, 0.1), 1),
        ((None, None), (None, None), None),
    ],
)
def test_the_best_run_is_the_nearest_to_its_own_optimum(losses, excesses, best, make_sweep, execute):
    sweep = make_sweep({}, {})
    execute(sweep)
    status = read_status(sweep)
    runs = [
        run._replace(loss_nats=loss, excess_nats=excess)
        for run, loss, excess in zip(status.runs, losses, excesses, strict=True)
    ]
    found = best_run(status._replace(runs=runs))
    assert (None if found is None else found.run.index) == best


def test_the_table_says_it_all(make_sweep, execute):
    sweep = make_sweep({}, {"silent": True}, {"leaves_at": [1]})
    execute(sweep)
    text = "\n".join(status_lines("my sweep", read_status(sweep)))
    assert re.search(r"^  0  seed=0     complete +4/4 +0\.25000  0\.12500", text, re.MULTILINE)
    assert "3 runs: 2 complete, 1 failed; 1 restart" in text
    assert "run 1 failed: it ended with exit code 1: cannot even begin" in text
    assert "\nbest run: 0 (seed=0): final loss 0.25000 nats, excess 0.12500\n" in text
    assert "\nto look at it: simplexity show 'my sweep/0'\nto see all results: simplexity results 'my sweep'\n" in text
    assert text.endswith("to start the others again: simplexity retry 'my sweep'")


def test_the_times_of_runs_that_train_together_are_called_a_sum(make_sweep, execute):
    sweep = make_sweep({}, {})
    execute(sweep)
    status = read_status(sweep)
    runs = [run._replace(goodput=Goodput(computing_s=90, compiling_s=30)) for run in status.runs]
    assert totals(status._replace(runs=runs)).endswith(
        "; the runs' times add up to 4 min: 75 % training, 25 % compiling"
    )


@pytest.mark.parametrize(
    ("excess", "text"),
    [
        (None, ""),
        (0.003, ", excess 0.00300"),
        (-1e-9, ", excess 0.00000"),
        (
            -0.01964,
            ", excess -0.01964 (negative by chance: without validation the loss is of the last training batches)",
        ),
    ],
)
def test_a_negative_excess_is_explained(excess, text):
    assert excess_text(excess) == text


def test_runs_that_have_failed_for_the_same_reason_share_a_line(make_sweep, execute):
    sweep = make_sweep(*[{"silent": True}] * 12, {"raises_at": 1})
    execute(sweep)
    lines = list(status_lines("s", read_status(sweep)))
    silent = "runs 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more failed: it ended with exit code 1: cannot even begin"
    assert [line for line in lines if " failed: " in line] == [
        silent,
        next(x for x in lines if x.startswith("run 12 ")),
    ]


def test_keys_are_short_where_that_is_clear():
    swept = ("seed=1", "training.optimizer.instance.learning_rate=0.1", "a.size=2", "b.size=3")
    assert describe(swept, frozenset({"seed=1"}), short=True) == "learning_rate=0.1 a.size=2 b.size=3"
    assert describe(swept[:2]) == "seed=1 training.optimizer.instance.learning_rate=0.1"


def test_a_low_terminal_shows_what_matters(make_sweep, execute):
    sweep = make_sweep(*[{}] * 6, {"raises_at": 1}, *[{}] * 6)
    execute(sweep)
    text = "\n".join(status_lines("s", read_status(sweep), width=60, height=10))
    assert len(text.splitlines()) <= 10
    assert max(map(len, text.splitlines()[:4])) <= 60
    assert "seed=6     failed" in text
    assert "more runs" in text


OOM = "srun: error: n1: task 0: Out Of Memory"
TOO_SHORT = "a start takes 70 s, and the time limit is 60 s: set a longer `cluster.time_limit_minutes`"


@pytest.mark.parametrize(
    ("reasons", "advice"),
    [
        (("OUT_OF_MEMORY", f"OUT_OF_MEMORY: {OOM}"), ["runs 0 and 1 had too little memory"]),
        (("it has ended its worker 3 times; in one of its starts, its process ran out of memory", OOM),
         ["runs 0 and 1 had too little memory"]),
        (("TIMEOUT: starting", f"RuntimeError: not started again: 4 starts (stopped by the time limit, {TOO_SHORT})"),
         ["runs 0 and 1 had too little time"]),
        ((OOM, "TIMEOUT"), ["run 0 had too little memory", "run 1 had too little time"]),
        ((OOM, "ValueError: no"), ["run 0 had too little memory", "to start the others again: simplexity retry 'a b'"]),
        # What needs memory here is named in the error.
        (("RuntimeError: out of memory: the step needs 9 GB; choose a smaller model", "ValueError: no"),
         ["to start them again: simplexity retry 'a b'"]),
        (("RuntimeError: the device ran out of memory", "OSError: MLflow's server: Out Of Memory"),
         ["to start them again: simplexity retry 'a b'"]),
    ],
)  # fmt: skip
def test_advice_names_the_limit_that_a_retry_would_repeat(make_sweep, execute, reasons, advice):
    sweep = make_sweep({"raises_at": 1}, {"raises_at": 1})
    execute(sweep)
    status = read_status(sweep)
    runs = [run._replace(reason=reason) for run, reason in zip(status.runs, reasons, strict=True)]
    lines = next_commands("a b", status._replace(runs=runs, on_slurm=True))
    assert [line.partition(",")[0] for line in lines] == advice
    if "memory" in advice[0]:
        command = "repeat the sweep's command with hydra.sweep.dir='a b' and a larger cluster.memory"
        assert lines[0].endswith(f", and would have as little in a retry: {command}")


@pytest.mark.parametrize(
    ("state", "saved_step", "reason"),
    [
        (RunState.LOST, 1, "TIMEOUT: step 3"),
        (RunState.STOPPED, 0, "TIMEOUT: saved at step 0 after SIGUSR2"),
    ],
)
def test_a_run_whose_time_was_over_may_get_on_in_a_retry(make_sweep, execute, state, saved_step, reason):
    sweep = make_sweep({"raises_at": 1})
    execute(sweep)
    status = read_status(sweep)
    run = status.runs[0]._replace(state=state, saved_step=saved_step, reason=reason)
    lines = next_commands("s", status._replace(runs=[run], on_slurm=True))
    assert lines == ["to start them again: simplexity retry s"]


@pytest.mark.parametrize(
    "reason", [OOM, "it has ended its worker 3 times; in one of its starts, its process ran out of memory"]
)
def test_without_slurm_no_advice_is_about_its_limits(make_sweep, execute, reason):
    sweep = make_sweep({"raises_at": 1})
    execute(sweep)
    status = read_status(sweep)
    lines = next_commands("s", status._replace(runs=[status.runs[0]._replace(reason=reason)]))
    assert lines == ["to start them again: simplexity retry s"]


def test_no_advice_repeats_a_loss_that_is_not_finite(make_sweep, execute):
    sweep = make_sweep({}, {"raises_at": 2})
    execute(sweep)
    text = "\n".join(status_lines("s", read_status(sweep)))
    assert "simplexity retry" not in text
    assert text.endswith("start a new run with other settings")
