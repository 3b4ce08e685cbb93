import json
import os
import signal
import subprocess
import sys

import pytest

from simplexity.runs import Liveness, liveness
from simplexity.runs._owner import Owner, this_process

NO_SUCH_PID = 2**22 + 1
SHOW = """
import json
from simplexity.runs._owner import this_process
print(json.dumps(this_process(1.0).to_json()), flush=True)
"""


def test_the_record_is_read_as_it_was_written(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "21")
    owner = this_process(since=12.5)
    assert owner.slurm is not None
    assert Owner.from_json(json.loads(json.dumps(owner.to_json()))) == owner
    assert (owner.pid, owner.host, owner.since) == (os.getpid(), os.uname().nodename, 12.5)
    assert this_process(since=12.5).token != owner.token


def test_a_process_lives_until_it_has_ended():
    assert liveness(this_process(since=0.0)) is Liveness.ALIVE
    process = subprocess.Popen(
        [sys.executable, "-c", f"{SHOW}input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    owner = Owner.from_json(json.loads(process.stdout.readline()))
    assert liveness(owner) is Liveness.ALIVE
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    # Ended, and not yet waited for: a zombie.
    assert liveness(owner) is Liveness.DEAD
    process.communicate()
    assert liveness(owner) is Liveness.DEAD


@pytest.mark.parametrize("change", [{"started": 1}, {"pid": NO_SUCH_PID}])
def test_another_process_with_the_pid_is_not_the_owner(change):
    assert liveness(this_process(since=0.0)._replace(**change)) is Liveness.DEAD


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": "another-boot"},
        {"kernel": None},
        {"namespace": "pid:[1] time:[1]"},
        {"namespace": None},
        {"started": None},
        {"namespace": "pid:[1] time:[1]", "pid": NO_SUCH_PID},
    ],
)
def test_what_cannot_be_seen_is_neither_alive_nor_dead(change):
    assert liveness(this_process(since=0.0)._replace(**change)) is Liveness.UNSEEN


def test_the_old_proc_of_a_new_namespace_is_not_believed():
    command = ["unshare", "--pid", "--fork"]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        pytest.skip("this user may not make a process namespace")
    done = subprocess.run(
        [*command, sys.executable, "-c", SHOW], capture_output=True, text=True, check=True, timeout=20
    )
    owner = Owner.from_json(json.loads(done.stdout))
    assert (owner.pid, owner.started) == (1, None)
    assert liveness(owner) is Liveness.UNSEEN
