"""Requests that a sweep's processes stop."""

import pytest

from simplexity.sweeps import _stop_requests
from simplexity.sweeps._stop_requests import StopRequests, request_stop


@pytest.mark.parametrize("before", [b"", b'{"time": 1, "reason": "earlier"}\n', b'{"time": 1, "rea'])
def test_a_request_is_heard_whatever_stands_before_it(before, make_sweep, monkeypatch):
    monkeypatch.setattr(_stop_requests, "_POLL_S", 0.0)
    sweep = make_sweep({})
    sweep.stop_requests_path.write_bytes(before)
    requests = StopRequests(sweep)
    assert requests.new_reason() == ""
    request_stop(sweep, "simplexity cancel")
    # A line that a power failure has torn takes the next one with it.
    torn = bool(before) and not before.endswith(b"\n")
    assert requests.new_reason() == ("a request in the sweep's folder" if torn else "simplexity cancel")
    sweep.stop_requests_path.unlink()
    assert requests.new_reason() == ""
