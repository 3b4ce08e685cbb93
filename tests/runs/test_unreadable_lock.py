"""A lock whose folder cannot be read for a moment, as while a file server restarts."""

import errno
import os

import pytest

from simplexity.runs import RunLock, UnreadableError, _former_holder, _lock


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("what", ["look", "generations"])
def test_a_read_error_while_the_lock_is_taken_is_tried_again(folder, monkeypatch, what, number):
    RunLock(folder).acquire().release()
    module = {"look": _former_holder, "generations": _lock}[what]
    real, failures, pauses_s = getattr(module, what), [], []

    def read(path):
        # The first reads of the former holder's file, or of the folder's names after this process's own is among them.
        if len(failures) < most and (what == "look" or (folder / str(created)).exists()):
            failures.append(path)
            raise OSError(number, os.strerror(number), str(path))
        return real(path)

    monkeypatch.setattr(module, what, read)
    monkeypatch.setattr("time.sleep", pauses_s.append)
    most, created = 2, 2
    with RunLock(folder) as lock:
        assert (len(failures), len(pauses_s), lock.still_held()) == (2, 2, True)
    # An error that stays ends the start, and leaves nothing that keeps others away.
    failures.clear()
    most, created = 4, 3
    with pytest.raises(
        UnreadableError, match=rf"cannot be taken: .* cannot be read: {os.strerror(number)}; start again"
    ):
        RunLock(folder).acquire()
    with RunLock(folder) as lock:
        assert lock.still_held()


def test_a_lock_that_cannot_be_read_before_a_write_is_not_taken_for_lost(folder, monkeypatch):
    failures, pauses_s = [], []

    def fails(file):
        failures.append(file)
        if len(failures) <= most:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(file))
        return real(file)

    with RunLock(folder, heartbeat_s=1000, expiry_s=2000) as lock:
        real = _lock.look
        monkeypatch.setattr("time.sleep", pauses_s.append)
        monkeypatch.setattr(_lock, "look", fails)
        most = 3
        assert lock.require_held() == 1
        assert sum(pauses_s) > 5  # a hiccup of a file server takes seconds
        failures.clear()
        most = 4
        with pytest.raises(UnreadableError, match=r"`.*/1` cannot be read: Input/output error; start again"):
            lock.require_held()
