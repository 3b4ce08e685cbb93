"""Runs a real entrypoint that is frozen at an exact point of its course, and that no other process can see.

    python tests/frozen.py HOST PHASE COUNT SCRIPT [OVERRIDE ...]

When PHASE (see stopping.py) begins for the COUNT-th time, it stops itself by SIGSTOP, as a suspended machine would.
HOST stands for another machine: who waits for this process judges it by its heartbeat alone, and within a second.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from simplexity.runs import RunLock, _owner
from tests import stopping


def main() -> None:
    host = sys.argv[1]
    _owner._boot_id = lambda: host
    assert RunLock.__init__.__kwdefaults__ is not None
    RunLock.__init__.__kwdefaults__ |= {"heartbeat_s": 0.5, "expiry_s": 1.0}
    sys.argv[1:] = [sys.argv[2], "SIGSTOP", *sys.argv[3:]]
    stopping.main()


if __name__ == "__main__":
    main()
