"""A worker whose runs need nothing but Python, and that keeps the contract of `simplexity work [--place PLACE] DIR`.

What a run is to do stands in its frozen config, as JSON. Runs of one `variant` share a process.
"""

import json
import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

from simplexity.host import PreemptionGuard, outlive_readers
from simplexity.runs import EventKind, Ledger, RunLock, this_job
from simplexity.sweeps import SweepDirectory, WorkerPlace, drain

PROCESS = os.urandom(8).hex()
WORK = {
    "steps": 4,
    "step_s": 0.0,
    "raises_at": None,
    "leaves_at": [],
    "dies_at": None,
    "silent": False,
    "variant": "a",
    "at_once": 1,
}


def main() -> int:
    outlive_readers()
    with PreemptionGuard() as guard:
        *options, folder = sys.argv[1:]
        place = WorkerPlace.parse(options[1]) if options else None
        sweep = SweepDirectory.open(Path(folder))
        return drain(sweep, guard, StandIn(sweep, guard), place, impatient_lock)


def impatient_lock(path, on_lost) -> RunLock:
    return RunLock(path, heartbeat_s=0.2, expiry_s=1.5, on_lost=on_lost)


class StandIn:
    def __init__(self, sweep: SweepDirectory, guard: PreemptionGuard):
        self.sweep, self.guard, self.variant = sweep, guard, None

    def work(self, run) -> dict:
        return WORK | json.loads(self.sweep.run_directory(run).config_path.read_text())

    def can_take(self, run) -> bool:
        variant = self.work(run)["variant"]
        self.variant = self.variant or variant
        return variant == self.variant

    def num_at_once(self, run) -> int:
        return self.work(run)["at_once"]

    def together(self):
        return nullcontext()

    def renew(self) -> None:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])

    def execute(self, run, lock) -> int:
        work = self.work(run)
        if work["silent"]:
            print("cannot even begin")
            return 1
        return execute(self.sweep.run_directory(run), work, self.guard, lock)


def execute(directory, work: dict, guard: PreemptionGuard, lock: RunLock) -> int:
    ledger = Ledger(directory.ledger_path, lock.require_held)
    step = max((event.step for event in ledger.events if event.kind == EventKind.CHECKPOINT), default=0)
    fresh = not ledger.events
    job = this_job()
    ledger.append(EventKind.START, step, submission=None if job is None else job.submission)
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
    (directory.path / "process").write_text(PROCESS)
    (directory.path / "cores").write_text(str(sorted(os.sched_getaffinity(0))))
    directory.mark_complete(step, 1 / step, 0.5 / step, 0.5 / step)
    ledger.append(EventKind.COMPLETE, step)
    return 0


if __name__ == "__main__":
    sys.exit(main())
