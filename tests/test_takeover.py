"""A process that was frozen, and wakes up when another has taken its run over, does the run no harm."""

import os
import signal
import subprocess
from pathlib import Path

from simplexity.runs import EventKind, RunDirectory, read_ledger

from .small_runs import assert_same_run, command, environment

FROZEN = Path(__file__).parent / "frozen.py"
# In the middle of training; between asking the lock and committing a checkpoint; before asking; and never.
MOMENTS = [("mid_chunk", 4), ("lock_asked", 2), ("save_before_commit", 1), ("mid_chunk", 10**9)]


def test_a_frozen_process_that_wakes_up_after_a_takeover_changes_nothing(uninterrupted, cache, tmp_path):
    run_dir, frozen = tmp_path / "run", []
    try:
        for host, (phase, count) in enumerate(MOMENTS):
            words = command(run_dir, "gru")
            words[1:1] = [str(FROZEN), f"host-{host}", phase, str(count)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(words, env=environment(cache), stdout=pipe, stderr=pipe, text=True)
            frozen.append(process)
            how = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            assert how is not None
            last = host == len(MOMENTS) - 1
            assert how.si_code == (os.CLD_EXITED if last else os.CLD_STOPPED), process.communicate()
            if host > 0:
                wake(frozen[host - 1], run_dir)
        out, err = frozen[-1].communicate(timeout=60)
        assert frozen[-1].returncode == 0, (out, err)
    finally:
        for process in frozen:
            process.kill()
            process.communicate()
    assert_same_run(run_dir, uninterrupted("gru"))
    events = read_ledger(RunDirectory(run_dir).ledger_path)
    writers = [event.pid for event in events]
    assert writers == sorted(writers, key=[process.pid for process in frozen].index)
    assert [event.sequence for event in events] == list(range(len(events)))
    assert sum(event.kind == EventKind.FAILED for event in events) == 0


def wake(process: subprocess.Popen, run_dir: Path) -> None:
    """Lets it continue until it ends, and checks that it ends as one that was taken over, and wrote nothing."""
    directory = RunDirectory(run_dir)
    before = {path: path.read_bytes() for path in (directory.metrics_path, directory.ledger_path)}
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "another process took over" in err
    assert "Traceback" not in err
    assert {path: path.read_bytes() for path in before} == before
