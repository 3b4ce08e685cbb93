"""A run that needs nothing but Python and keeps the contract: it counts, saves when told to stop, and exits with 85.

As an array task: `payload.py --sweep FOLDER --index N`; as run_experiment.py: `payload.py hydra.run.dir=FOLDER ...`.
What it is to do stands in the variable PAYLOAD, as JSON: it counts to `steps`, and on until it has been started
`starts` times; told to stop, it takes `save_s` to save, or never saves if it `hangs`. If it is `unready`, the first
start handles no signals.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(arguments: list[str]) -> int:
    work = {"steps": 20, "starts": 1, "step_s": 0.1, "save_s": 0.0, "exit_code": 0, "hangs": False, "unready": False}
    work |= json.loads(os.environ.get("PAYLOAD", "{}"))
    folder = run_folder(arguments)
    folder.mkdir(parents=True, exist_ok=True)
    note(folder / "starts", f"{os.environ['SLURM_JOB_ID']} {os.environ.get('SLURM_RESTART_COUNT', '0')}")
    starts = len((folder / "starts").read_text().splitlines())
    told = []
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        if starts > 1 or not work["unready"]:
            signal.signal(number, lambda number, _: told.append(number))
    note(folder / "arguments", json.dumps(arguments))
    note(folder / "pids", str(os.getpid()))
    saved = folder / "saved"
    step = int(saved.read_text()) if saved.exists() else 0
    while step < work["steps"] or starts < work["starts"]:
        time.sleep(work["step_s"])
        note(folder / "steps", str(step))
        step += 1
        if told:
            note(folder / "told", str(told[0]))
            while work["hangs"]:
                time.sleep(1)
            time.sleep(work["save_s"])
            saved.write_text(str(step))
            return 85
    note(folder / "ends", "end")
    return work["exit_code"]


def run_folder(arguments: list[str]) -> Path:
    if "--sweep" in arguments:
        return Path(arguments[arguments.index("--sweep") + 1]) / arguments[arguments.index("--index") + 1]
    return Path(next(a.partition("=")[2] for a in arguments if a.startswith("hydra.run.dir=")))


def note(file: Path, line: str) -> None:
    with open(file, "a") as opened:
        opened.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
