"""Runs a real entrypoint that is frozen at an exact point of its course, and that no other process can see.

    python tests/frozen.py HOST PHASE COUNT SCRIPT [OVERRIDE ...]

When PHASE (see running/stopping.py) begins for the COUNT-th time, it stops itself by SIGSTOP, like a suspended machine.
HOST stands for another machine: who waits for this process judges it by its heartbeat alone, and within a second.
"""

import builtins
import io
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simplexity.runs import RunLock
from tests.running import stopping

BOOT_ID = "/proc/sys/kernel/random/boot_id"  # by which a process knows its machine


def main() -> None:
    host, real_open = sys.argv[1], open

    def open_on_host(file, *args, **kwargs):
        return io.StringIO(host) if file == BOOT_ID else real_open(file, *args, **kwargs)

    builtins.open = open_on_host
    assert RunLock.__init__.__kwdefaults__ is not None
    RunLock.__init__.__kwdefaults__ |= {"heartbeat_s": 0.5, "expiry_s": 1.0}
    sys.argv[1:] = [sys.argv[2], "SIGSTOP", *sys.argv[3:]]
    stopping.main()


if __name__ == "__main__":
    main()
