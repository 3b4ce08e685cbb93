"""What is done with a run's files while some of them cannot be read. Preloads failing_reads.c; also a program:

    python -m tests.failing_reads start|restore FOLDER < CASES

CASES is a list of variables of failing_reads.c in JSON. For each, `start` starts the run in FOLDER, and `restore`
restores the newest of the checkpoints in FOLDER, which it makes.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")
NAMES = ("FAIL_PATH", "FAIL_CALL", "FAIL_ERRNO", "FAIL_AFTER", "FAIL_TIMES")


def failing(path: str, number: int, *, call: str = "open", after: int = 0, times: int = 1000) -> dict[str, str]:
    """The variables for calls on files whose path has `path` in it."""
    return dict(zip(NAMES, map(str, (path, call, number, after, times)), strict=True))


@pytest.fixture(scope="session")
def preload(tmp_path_factory) -> dict[str, str]:
    """The environment of a process whose reads can fail."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("reads cannot be made to fail here: that takes a C compiler")
    library = tmp_path_factory.mktemp("preload") / "failing_reads.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl", "-lpthread"], check=True)
    return {"LD_PRELOAD": str(library)}


def answers(
    what: str, folder: Path, cases: Sequence[Mapping[str, str]], environment: Mapping[str, str]
) -> list[dict[str, str]]:
    """The error that each case raised or reported, all of them in one process, or the value that was returned."""
    command = [sys.executable, "-m", "tests.failing_reads", what, str(folder)]
    done = subprocess.run(
        command, env=dict(environment), input=json.dumps(cases), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _start(run_dir: Path) -> Callable[[], object]:
    from simplexity.host import PreemptionGuard
    from simplexity.running import run_frozen

    class Impatient(PreemptionGuard):
        def wait(self, timeout_s: float) -> bool:
            return super().wait(timeout_s / 100)

    def start() -> int:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as reported:
            exit_code = run_frozen(run_dir, Impatient(), None)
        if exit_code != 0:
            raise RuntimeError(f"exit code {exit_code}: {reported.getvalue().strip()}")
        return exit_code

    return start


def _restore(folder: Path) -> Callable[[], object]:
    import jax.numpy as jnp

    from simplexity.persistence import OrbaxCheckpointer

    state = {"a": jnp.arange(1000.0)}
    checkpointer = OrbaxCheckpointer(folder, 2, None, None, None)
    checkpointer.open()
    for step in (1, 2):
        checkpointer.save(step, state)
    checkpointer.wait()
    return lambda: checkpointer.restore(state)[0]  # pyright: ignore[reportOptionalSubscript]


def main() -> None:
    really_sleep = time.sleep
    time.sleep = lambda seconds: really_sleep(float(seconds) / 100)
    cases = json.load(sys.stdin)
    read = {"start": _start, "restore": _restore}[sys.argv[1]](Path(sys.argv[2]))
    found = []
    for case in cases:
        os.environ.update(case)
        try:
            found.append({"error": "", "value": str(read())})
        except Exception as error:
            found.append({"error": type(error).__name__, "value": str(error)})
        os.environ.update(FAIL_PATH="")
    print(json.dumps(found), flush=True)
    os._exit(0)  # a compiler may still be at work


if __name__ == "__main__":
    main()
