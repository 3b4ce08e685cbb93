"""Requests that a sweep's processes stop: a file in the sweep's folder, which each of them looks at, on any machine.

SLURM's array tasks do not look at it: they are cancelled, for SLURM would start again what stops by itself.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from simplexity.host import PreemptionGuard
from simplexity.runs import append_json_line

from ._directory import SweepDirectory
from ._run_files import last_records

_POLL_S = 1.0


class StopRequests:
    """The requests that are made from now on: earlier ones were for earlier processes.

    Args:
        sweep: The sweep.
    """

    def __init__(self, sweep: SweepDirectory):
        self._path = sweep.stop_requests_path
        self._size = self._present_size()
        self._looked_s = time.monotonic()

    def new_reason(self) -> str:
        """Why a stop was requested since this object was made; empty if none was. Looks once a second at most."""
        if time.monotonic() - self._looked_s < _POLL_S:
            return ""
        self._looked_s = time.monotonic()
        if self._present_size() <= self._size:
            return ""
        # The file has grown, which is a request, also where a line of it is corrupt.
        newest = last_records(self._path, 1)
        return str(newest[0]["reason"]) if newest and "reason" in newest[0] else "a request in the sweep's folder"

    def _present_size(self) -> int:
        try:
            # Opened, because a network file system shows its newest state to those who open a file.
            with open(self._path, "rb") as file:
                return file.seek(0, 2)
        except FileNotFoundError:
            return 0


def request_stop(sweep: SweepDirectory, reason: str) -> None:
    """Asks every process that executes runs of the sweep now, and is no array task, to save and to exit."""
    append_json_line(sweep.stop_requests_path, {"time": round(time.time(), 3), "reason": reason})


@contextmanager
def obey_stop_requests(sweep: SweepDirectory, guard: PreemptionGuard) -> Iterator[None]:
    """Within the `with` block, a request to stop the sweep has the effect of a signal."""
    requests, over = StopRequests(sweep), threading.Event()

    def look() -> None:
        while not over.wait(_POLL_S):
            # A file server that does not answer for a while is no request.
            with suppress(OSError):
                if reason := requests.new_reason():
                    guard.request(reason)
                    return

    thread = threading.Thread(target=look, name="stop requests", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=1.0)
