"""Programs of the host, called from the host itself or from inside a container.

An image holds neither SLURM's programs nor munge. Where `slurm/sweep.sh` has started it, the host executes for it what
it asks for: the words of a command go through one pipe, the exit code comes back through another, and what the command
printed lies in two files beside them. Before the words, and once more behind them, stand their number and a name of the
request: one that was cut off is not taken for another. A cluster is so asked by one code, wherever that runs.
"""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from uuid import uuid4

_CHECKS = 'die() { echo "$*" >&2; exit 2; }\nset -euo pipefail\n'
_HAS_ENDED = "the process of slurm/sweep.sh that executes programs of the host has ended"
# How much longer than a program the host may take to answer for it.
_GRACE_S = 15.0


def is_inside_image() -> bool:
    """Whether this process is in an image that `slurm/sweep.sh` has started."""
    return _folder() is not None


def has_program(name: str) -> bool:
    """Whether the host has a program to call."""
    if (folder := _folder()) is not None:
        return name in (folder / "programs").read_text().split()
    return shutil.which(name) is not None


def call_host(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Executes a program of the host and waits for it.

    Args:
        command: Program and arguments; one that `slurm/sweep.sh` executes for an image, if this is in one.
        environment: All of its variables; None for this process's. The host's own, if this is in an image.
        timeout_s: Seconds that it may take.

    Raises:
        FileNotFoundError: If there is no such program.
        subprocess.TimeoutExpired: If it takes longer.
        ConnectionError: If the process of the host that executes them has ended.
    """
    if (folder := _folder()) is not None:
        return _ask(folder, command, timeout_s)
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        timeout=timeout_s, check=False,
    )  # fmt: skip


def call_image_check(words: Sequence[str], *, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """The same for a function of `image.sh`, with its arguments."""
    if (folder := _folder()) is not None:
        return _ask(folder, words, timeout_s)
    text = resources.files("simplexity.cluster").joinpath("image.sh").read_text(encoding="utf-8")
    return call_host(["bash", "-c", f'{_CHECKS}{text}"$@"', "bash", *words], timeout_s=timeout_s)


def _folder() -> Path | None:
    folder = os.environ.get("SIMPLEXITY_HOST")
    return Path(folder) if folder else None


def _ask(folder: Path, words: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    if not has_program(words[0]):
        raise FileNotFoundError(words[0])
    deadline = time.monotonic() + timeout_s + _GRACE_S
    try:
        request = os.open(folder / "request", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # no process has it open for reading
        raise ConnectionError(_HAS_ENDED) from None
    header = f"{len(words)} {uuid4()}"
    with open(request, "wb") as pipe:
        os.set_blocking(request, True)
        pipe.write(b"".join(os.fsencode(word) + b"\0" for word in [header, *words, header]))
    answer = os.open(folder / "answer", os.O_RDONLY | os.O_NONBLOCK)
    with open(answer, "rb") as pipe:
        if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise subprocess.TimeoutExpired(words, timeout_s)
        code = pipe.read(16)
    if not code:  # no process has it open for writing any more
        raise ConnectionError(_HAS_ENDED)
    stdout, stderr = ((folder / name).read_text(errors="replace") for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(list(words), int(code), stdout, stderr)
