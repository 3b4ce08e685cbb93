"""A run that needs nothing but Python and keeps the contract of `simplexity resume --sweep DIR --index N`.

What it is to do stands in its frozen config, as JSON.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from simplexity.host import PreemptionGuard
from simplexity.runs import EventKind, Ledger, RunLock
from simplexity.sweeps import SweepDirectory

WORK = {"steps": 4, "step_s": 0.0, "raises_at": None, "leaves_at": [], "dies_at": None, "silent": False}


def main() -> int:
    with PreemptionGuard() as guard:
        sweep = SweepDirectory.open(Path(sys.argv[sys.argv.index("--sweep") + 1]))
        run = sweep.read_manifest().run(int(sys.argv[sys.argv.index("--index") + 1]))
        directory = sweep.run_directory(run)
        work = WORK | json.loads(directory.config_path.read_text())
        if work["silent"]:
            print("cannot even begin")
            return 1
        with RunLock(directory.lock_path):
            return execute(directory, work, guard)


def execute(directory, work: dict, guard: PreemptionGuard) -> int:
    ledger = Ledger(directory.ledger_path)
    step = max((event.step for event in ledger.events if event.kind == EventKind.CHECKPOINT), default=0)
    fresh = not ledger.events
    ledger.append(EventKind.START, step)
    print(f"begins at {step}", flush=True)
    while step < work["steps"]:
        time.sleep(work["step_s"])
        step += 1
        with open(directory.metrics_path, "a") as metrics:
            metrics.write(json.dumps({"step": step, "loss": 1 / step, "excess": 0.5 / step, "time_s": step}) + "\n")
        if guard.requested() or (fresh and step in work["leaves_at"]):
            ledger.append(EventKind.CHECKPOINT, step)
            ledger.append(EventKind.PREEMPTED, step, reason=guard.reason or "by itself")
            return 85
        if step == work["raises_at"]:
            ledger.append(EventKind.FAILED, step, reason="RuntimeError: the loss is not finite")
            return 1
        if step == work["dies_at"]:
            print("about to die", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
    (directory.path / "cores").write_text(str(sorted(os.sched_getaffinity(0))))
    directory.mark_complete(step, 1 / step, 0.5 / step, 0.5 / step)
    ledger.append(EventKind.COMPLETE, step)
    return 0


if __name__ == "__main__":
    sys.exit(main())
