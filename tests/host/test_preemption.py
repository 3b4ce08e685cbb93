import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from simplexity.host import PreemptionGuard
from simplexity.host._preemption import PREEMPTION_SIGNALS

# Says when the guard is in place and that a stop was requested; exits with 85 when its input ends.
PROGRAM = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit an ignored one
from simplexity.host import PreemptionGuard
with PreemptionGuard(resume_command="simplexity resume outputs/run") as guard:
    print("ready", flush=True)
    while not guard.wait(30.0):
        pass
    print(guard.reason, flush=True)
    sys.stdin.readline()
    {then}
sys.exit(85)
"""


def start(then="pass"):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture(autouse=True)
def _same_handlers_after_each_test():
    numbers = (*PREEMPTION_SIGNALS, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    assert {number: signal.getsignal(number) for number in numbers} == before


@pytest.mark.parametrize("number", PREEMPTION_SIGNALS)
def test_a_signal_sets_the_flag_and_nothing_else(number):
    with PreemptionGuard() as guard:
        assert not guard.requested()
        assert guard.reason is None
        assert guard.requested_at_s is None
        before = time.monotonic()
        signal.raise_signal(number)
        assert guard.requested()
        assert guard.reason == number.name
        assert guard.requested_at_s is not None
        assert before <= guard.requested_at_s <= time.monotonic()


def test_a_program_can_ask_too_and_the_first_reason_stays():
    guard = PreemptionGuard()
    guard.request("SIGTERM in process 1")
    guard.request("SIGUSR1 in process 2")
    assert guard.requested()
    assert guard.reason == "SIGTERM in process 1"


def test_the_first_signal_is_the_reason():
    with PreemptionGuard() as guard:
        signal.raise_signal(signal.SIGUSR2)
        at = guard.requested_at_s
        for number in (signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1):
            signal.raise_signal(number)
        assert (guard.reason, guard.requested_at_s) == ("SIGUSR2", at)


def test_only_the_chosen_signals_are_taken():
    found = signal.getsignal(signal.SIGTERM)
    with PreemptionGuard([signal.SIGUSR1]) as guard:
        assert signal.getsignal(signal.SIGTERM) is found
        signal.raise_signal(signal.SIGUSR1)
        assert guard.reason == "SIGUSR1"


def test_handlers_of_another_library_are_replaced_and_put_back():
    calls = []
    theirs = signal.signal(signal.SIGUSR2, lambda number, frame: calls.append(number))
    try:
        before = signal.getsignal(signal.SIGUSR2)
        with PreemptionGuard() as guard:
            signal.signal(signal.SIGUSR2, lambda number, frame: calls.append(-number))
            guard.install()
            signal.raise_signal(signal.SIGUSR2)
            assert guard.reason == "SIGUSR2"
        assert calls == []
        assert signal.getsignal(signal.SIGUSR2) is before
    finally:
        signal.signal(signal.SIGUSR2, theirs)


def test_only_the_main_thread_installs():
    errors = []

    def install():
        try:
            PreemptionGuard().install()
        except RuntimeError as error:
            errors.append(str(error))

    thread = threading.Thread(target=install, name="worker")
    thread.start()
    thread.join()
    assert errors == ["PreemptionGuard must be installed in the main thread, not in 'worker'"]


def test_wait_ends_at_the_signal_or_at_the_time_out():
    with PreemptionGuard() as guard:
        start_s = time.monotonic()
        assert not guard.wait(0.08)
        assert 0.08 <= time.monotonic() - start_s < 5
        timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        assert guard.wait(30.0)
        timer.join()
        assert time.monotonic() - start_s < 10


@pytest.mark.parametrize("number", PREEMPTION_SIGNALS)
def test_a_process_survives_many_signals_and_leaves_in_order(number):
    process = start()
    for _ in range(20):
        process.send_signal(number)
        time.sleep(0.005)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (85, f"{number.name}\n", "")


def test_the_first_interrupt_saves_and_says_how_to_resume():
    process = start()
    # One press of Ctrl-C, delivered twice.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (85, "interrupt\n")
    assert err.count("\n") == 2
    assert "Press Ctrl-C again to exit at once. To resume later: simplexity resume outputs/run" in err


def test_the_second_interrupt_leaves_at_once():
    process = start()
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "interrupt\n"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    # It dies of the signal, though its input is still open: a shell reports 130.
    assert process.wait(timeout=10) == -signal.SIGINT
    process.communicate()


def test_a_late_signal_does_not_replace_the_exit_code():
    # What runs at exit stands for the shutdown of a large program.
    process = start(
        then="guard.ignore(); import atexit; atexit.register(lambda: [print('exiting', flush=True), input()])"
    )
    process.send_signal(signal.SIGUSR2)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "SIGUSR2\n"
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "exiting\n"
    for number in PREEMPTION_SIGNALS:
        process.send_signal(number)
    process.communicate("\n", timeout=20)
    assert process.returncode == 85


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_was_ignored_stays_ignored(number):
    found = signal.signal(number, signal.SIG_IGN)
    try:
        with PreemptionGuard() as guard:
            signal.raise_signal(number)
            assert not guard.requested()
            assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, found)


def test_a_forked_child_ignores_the_signals():
    program = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from simplexity.host import PreemptionGuard
with PreemptionGuard() as guard:
    child = os.fork()
    if child == 0:
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGINT):
            signal.raise_signal(number)
        os._exit(10 + guard.requested())
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), guard.requested())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("10 False\n", "")


def test_an_interrupt_of_what_does_not_save_says_so(capfd):
    guard = PreemptionGuard(resume_command="simplexity resume run")
    guard.saves = False
    guard._on_interrupt(signal.SIGINT, None)
    told = capfd.readouterr().err
    assert "Interrupted: exiting, nothing is saved." in told
    assert "To begin again later: simplexity resume run" in told


def test_each_run_of_a_process_has_its_own_words_and_all_obey_the_same_request(capfd):
    guard = PreemptionGuard(resume_command="simplexity work sweep")
    one, other = guard.for_run(), guard.for_run()
    one.resume_command, one.saves = "simplexity resume one", False
    assert (other.resume_command, other.saves) == ("", True)
    guard._on_interrupt(signal.SIGINT, None)
    assert (one.reason, other.reason, one.requested_at_s) == ("interrupt", "interrupt", guard.requested_at_s)
    assert "To resume later: simplexity work sweep" in capfd.readouterr().err
