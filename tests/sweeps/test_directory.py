import os
import subprocess
import sys

import pytest

from simplexity.host import PreemptionGuard
from simplexity.runs import RunDirectory
from simplexity.sweeps import SweepDirectory, require_own, retry


def test_a_folder_that_is_no_sweep(tmp_path):
    with pytest.raises(ValueError, match=r"is not a sweep.*--multirun"):
        SweepDirectory.open(tmp_path)
    RunDirectory(tmp_path).config_path.write_text("")
    with pytest.raises(ValueError, match=f"it is one run; to look at it: simplexity show {tmp_path}"):
        SweepDirectory.open(tmp_path)


def test_one_process_at_a_time(make_sweep):
    sweep = make_sweep({})
    assert sweep.lock_owner() is None
    code = "import sys; from pathlib import Path; from simplexity.sweeps import SweepDirectory\n"
    code += "with SweepDirectory(Path(sys.argv[1])).lock(): print('locked', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(sweep.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        assert sweep.lock_owner() == f"process {other.pid} on {os.uname().nodename}"
        with pytest.raises(RuntimeError, match=f"being submitted or executed by process {other.pid}"), sweep.lock():
            pass
        other.kill()
    assert sweep.lock_owner() is None
    with sweep.lock():
        assert sweep.lock_owner() is not None


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RuntimeError, match="cannot be written"), SweepDirectory(tmp_path / "file" / "x").lock():
        pass


@pytest.mark.parametrize("name", [".", "sweep", "sweep/manifest.json"])
def test_a_sweep_that_all_may_write_is_not_started_again(make_sweep, name):
    sweep = make_sweep({})
    (sweep.path / name).chmod(0o777)
    with PreemptionGuard() as guard, pytest.raises(RuntimeError, match=r"all users may write .* chmod o-w "):
        retry(sweep, guard, failed=True, missing=True, changed_image=False)
    (sweep.path / name).chmod(0o770)
    require_own(sweep)


def test_a_sweep_of_another_user_is_not_started_again(make_sweep, monkeypatch):
    sweep = make_sweep({})
    monkeypatch.setattr(os, "geteuid", lambda: sweep.path.stat().st_uid + 1)
    with pytest.raises(RuntimeError, match=r"belongs to another user .*: its owner may do that"):
        require_own(sweep)


def test_a_torn_submission_takes_no_later_one_with_it(make_sweep):
    sweep = make_sweep({}, {})
    sweep.record_submission([0])
    with open(sweep.submissions_path, "a") as file:
        file.write('{"time": 1.0, "ind')
    sweep.record_submission([1])
    sweep.record_submission([0, 1])
    assert [submission.indices for submission in sweep.read_submissions()] == [(0,), (1,), (0, 1)]
