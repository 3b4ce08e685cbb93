"""Reading from disks that fail now and then: tried again, never taken for absence, and named in the error."""

import errno
import os
import re
from contextlib import suppress

import pytest

from simplexity.runs import (
    RetryBudget,
    RunDirectory,
    UnreadableError,
    files_below,
    folder_problem,
    is_there,
    iter_json_lines,
    move_durably,
    read_environments,
    read_file,
    read_holder,
    read_json_lines,
    read_origin,
    read_scores,
    retry_read,
)


def failing(times, error):
    """A read that fails this many times; it counts its calls."""
    calls = []

    def read():
        calls.append(None)
        if len(calls) <= times:
            raise error
        return len(calls)

    return read, calls


def test_a_read_is_tried_four_times_with_growing_pauses():
    pauses = []
    read, _ = failing(3, OSError(errno.ESTALE, "Stale file handle", "run.jsonl"))
    assert retry_read(read, lambda seconds: bool(pauses.append(seconds))) == 4
    assert pauses == sorted(pauses)
    read, calls = failing(4, OSError(errno.ESTALE, "Stale file handle", "run.jsonl"))
    with pytest.raises(UnreadableError, match=r"`run\.jsonl` cannot be read: Stale file handle; start again when"):
        retry_read(read, lambda seconds: False)
    assert len(calls) == 4


@pytest.mark.parametrize("error", [FileNotFoundError(), ValueError()])
def test_what_no_second_try_changes_is_raised_at_once(error):
    read, calls = failing(1, error)
    with pytest.raises(type(error)):
        retry_read(read, lambda seconds: False)
    assert len(calls) == 1


def test_after_tries_in_vain_the_next_runs_are_read_once_until_one_can_be():
    pauses: list[float] = []
    budget = RetryBudget(lambda seconds: bool(pauses.append(seconds)))

    def pauses_of(read) -> int:
        pauses.clear()
        with suppress(RuntimeError, OSError):
            budget.read(read)
        return len(pauses)

    gone, _ = failing(1000, OSError(errno.EIO, "Input/output error", "run.jsonl"))
    corrupt, _ = failing(1000, RuntimeError("it is no ledger"))
    absent, _ = failing(1000, FileNotFoundError("no such file"))
    assert [pauses_of(gone), pauses_of(gone)] == [3, 0]
    for answer in (corrupt, absent, lambda: 1):
        assert [pauses_of(answer), pauses_of(gone), pauses_of(gone)] == [0, 3, 0]


def test_a_stop_request_ends_the_trying():
    read, calls = failing(9, OSError(errno.EIO, "Input/output error", "run.jsonl"))
    with pytest.raises(UnreadableError):
        retry_read(read, lambda seconds: True)
    assert len(calls) == 1


@pytest.fixture
def unreadable(monkeypatch):
    """Makes `os.stat` and the listing of folders fail for the paths and the number of times that it is given."""

    def make(path, number, times):
        for name in ("stat", "scandir"):
            real, left = getattr(os, name), [times]

            def fail(asked, *args, real=real, left=left, **kwargs):
                if os.fspath(asked) == str(path) and left[0] > 0:
                    left[0] -= 1
                    raise OSError(number, os.strerror(number), str(path))
                return real(asked, *args, **kwargs)

            monkeypatch.setattr(os, name, fail)

    return make


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ELOOP])
def test_a_name_that_cannot_be_looked_up_is_not_taken_for_absent(number, unreadable, tmp_path):
    path = tmp_path / "config.yaml"
    assert not is_there(path)
    path.touch()
    assert is_there(path)
    assert not is_there(path / "below a file")
    unreadable(path, number, times=2)
    assert is_there(path, lambda seconds: False)
    unreadable(path, number, times=9)
    with pytest.raises(UnreadableError, match=r"config\.yaml` cannot be read: .*; start again"):
        is_there(path, lambda seconds: False)


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(unreadable, tmp_path):
    source = tmp_path / "5.uncommitted"
    (source / "state" / "d").mkdir(parents=True)
    (source / "state" / "d" / "array").touch()
    (source / "manifest.json").touch()
    names = ["manifest.json", "state/d/array"]
    assert [str(path.relative_to(source)) for path in files_below(source)] == names
    unreadable(source / "state", errno.EIO, times=2)
    with pytest.raises(OSError, match="Input/output error"):
        list(files_below(source))
    with pytest.raises(OSError, match="Input/output error"):
        move_durably(source, tmp_path / "5")
    assert source.is_dir()


def test_a_folder_that_is_none_is_said_to_be_none(tmp_path):
    (tmp_path / "file").touch()
    assert folder_problem(tmp_path, "run") is None
    assert folder_problem(tmp_path / "typo", "run") == "there is no such folder"
    assert folder_problem(tmp_path / "file" / "typo", "run") == "there is no such folder"
    assert folder_problem(tmp_path / "file", "sweep") == "it is a file; name the sweep's folder"


READERS = {
    "1": lambda path: read_holder(path.parent),
    "COMPLETE": lambda path: RunDirectory(path.parent).read_completion(),
    "best.json": read_scores,
    "config.yaml": read_file,
    "environment.json": read_environments,
    "metrics.jsonl": read_json_lines,
    "origin.json": read_origin,
    "runs.jsonl": lambda path: list(iter_json_lines(path)),
}


@pytest.mark.parametrize("name", READERS)
def test_an_error_in_reading_an_opened_file_names_the_file(tmp_path, name):
    path = tmp_path / name
    # It can be opened, and its first byte cannot be read.
    path.symlink_to("/proc/self/mem")
    message = f"`{path}` cannot be read: Input/output error;"
    with pytest.raises(UnreadableError, match=re.escape(message)):
        retry_read(lambda: READERS[name](path), lambda seconds: True)
