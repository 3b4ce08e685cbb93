import subprocess
import sys
import textwrap

import pytest

from simplexity.loggers import PrintLogger, RunFacts, _print_logger

FACTS = RunFacts(num_train_steps=1000, start_step=0, tokens_per_step=64)


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now_s = 100.0

        def monotonic(self):
            return self.now_s

    clock = Clock()
    monkeypatch.setattr(_print_logger, "time", clock)
    return clock


def train(logger, clock, last_step):
    logger.start(FACTS)
    for step in range(50, last_step + 1, 50):
        clock.now_s += 1.0
        logger.progress(step)
        logger.log(step, {"loss": step / 1000, "optimum": 0.5})
    logger.close()


def printed_steps(capsys):
    return [
        int(line.split("/")[0].removeprefix("step ").replace(",", "")) for line in capsys.readouterr().out.splitlines()
    ]


@pytest.mark.parametrize(
    ("seconds", "last_step", "steps"),
    [
        (5.0, 1000, [50, 300, 550, 800, 1000]),
        (60.0, 1000, [50, 1000]),
        (60.0, 700, [50, 700]),  # left early
        (0.0, 150, [50, 50, 100, 100, 150, 150]),
    ],
)
def test_prints_at_intervals_and_at_the_end(clock, capsys, seconds, last_step, steps):
    train(PrintLogger(seconds), clock, last_step)
    assert printed_steps(capsys) == steps


def test_the_last_line_has_the_last_metrics_and_no_colours(clock, capsys):
    train(PrintLogger(5.0), clock, 1000)
    output = capsys.readouterr().out
    assert output.splitlines()[-1].startswith("step 1,000/1,000 | loss 1.00000 | optimum 0.50000 | 50 steps/s")
    assert "\x1b" not in output
    assert "\r" not in output


def test_closing_what_was_not_started_prints_nothing(capsys):
    logger = PrintLogger(5.0)
    logger.close()
    logger.close()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_refuses_a_wrong_interval(seconds):
    with pytest.raises(ValueError, match="`seconds_between_lines` must be at least 0"):
        PrintLogger(seconds)


@pytest.mark.parametrize("name", ["PrintLogger", "ConsoleLogger"])
def test_a_reader_that_goes_away_stops_neither_the_run_nor_its_exit_code(name):
    script = f"""
        import sys, time
        from simplexity.loggers import {name}, RunFacts
        logger = {name}(0.0)
        logger.start(RunFacts(1000, 0, 64))
        logger.progress(1)
        sys.stdin.read()
        for step in range(2, 1001):
            logger.progress(step)
            logger.log(step, {{"loss": 1.0}})
        logger.close()
        print("the program's own last line")
        print("done", file=sys.stderr)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "step 1/1,000\n"
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == "done\n"
    assert process.returncode == 0
