import errno

import pytest

from simplexity.runs import UnreadableError, retry_read


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


def test_a_stop_request_ends_the_trying():
    read, calls = failing(9, OSError(errno.EIO, "Input/output error", "run.jsonl"))
    with pytest.raises(UnreadableError):
        retry_read(read, lambda seconds: True)
    assert len(calls) == 1
