"""A lock whose folder cannot be read for a moment, as while a file server restarts."""

import errno
import os

import pytest

from simplexity.runs import LostLockError, RunLock, UnreadableError, _former_holder, _lock


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


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_lock_that_cannot_be_read_before_a_write_is_not_taken_for_lost(folder, monkeypatch, number):
    failures, pauses_s = [], []

    def fails(file):
        failures.append(file)
        if len(failures) <= most:
            raise OSError(number, os.strerror(number), str(file))
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
        with pytest.raises(UnreadableError, match=rf"`.*/1` cannot be read: {os.strerror(number)}; start again"):
            lock.require_held()


def test_a_stale_handle_of_a_lock_that_was_taken_over_is_looked_at_by_name_once_more(folder, monkeypatch):
    real, stale = _lock.look, [OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(folder / "1"))]
    with RunLock(folder, heartbeat_s=1000, expiry_s=2000) as lock:
        (folder / "1").rename(folder / "2")
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        monkeypatch.setattr(_lock, "look", lambda file: real(file) if not stale else _raise(stale.pop()))
        with pytest.raises(LostLockError):
            lock.require_held()


def _raise(error: OSError):
    raise error
