"""Who holds a lock, and whether that process still exists, as far as this one can see."""

import os
from enum import Enum
from typing import Any, NamedTuple

from ._job import SlurmIds, slurm_ids, slurm_ids_from_json


class Liveness(Enum):
    """What one process knows of another without waiting."""

    ALIVE = "alive"
    DEAD = "dead"
    UNSEEN = "unseen"
    """It runs, or ran, where this process cannot look: another machine, or another container."""


class Owner(NamedTuple):
    """The process that holds, or held, a run's lock.

    Attributes:
        token: Random, new for every acquisition.
        host: Host name, for people; two machines may share one.
        pid: Process id, within its namespace.
        started: When the process started, in clock ticks since boot; a later process with the same pid has another.
        kernel: Random id of the boot: the same for all containers of a machine, another after a reboot.
        namespace: Which process ids (and boot clock) the pid and the start refer to.
        since: Unix time of the acquisition, by its host's clock.
        slurm: The SLURM job it belongs to.
        released: Whether it gave the lock back.

    `started`, `kernel` and `namespace` are None where /proc does not show them.
    """

    token: str
    host: str
    pid: int
    started: int | None
    kernel: str | None
    namespace: str | None
    since: float
    slurm: SlurmIds | None
    released: bool = False

    def to_json(self) -> dict[str, Any]:
        """Its record in the lock's file."""
        return self._asdict() | {"slurm": None if self.slurm is None else self.slurm._asdict()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Owner":
        """The owner of a lock's file.

        Raises:
            TypeError: If a field is missing or unknown.
        """
        return cls(**{**record, "slurm": slurm_ids_from_json(record.get("slurm"))})


def this_process(since: float) -> Owner:
    """This process as the owner of a lock."""
    state = _process_state(os.getpid()) if _proc_is_ours() else None
    return Owner(
        token=os.urandom(8).hex(),
        host=os.uname().nodename,
        pid=os.getpid(),
        started=None if state is None else state[1],
        kernel=_boot_id(),
        namespace=_namespace(),
        since=since,
        slurm=slurm_ids(),
    )


def liveness(owner: Owner) -> Liveness:
    """Whether the owner's process still exists.

    Answers only where it is certain: on the same boot of the same kernel, and where both processes count process ids
    alike. A container with process ids of its own has a process 7 of its own, which is not the host's.
    """
    here = owner.kernel is not None and owner.kernel == _boot_id() and owner.namespace == _namespace()
    if not here or owner.namespace is None or owner.started is None or not _proc_is_ours():
        return Liveness.UNSEEN
    try:
        # Not a look into /proc, which may be mounted so that other users' processes do not show.
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return Liveness.DEAD
    except PermissionError:
        pass
    state = _process_state(owner.pid)
    if state is None:
        return Liveness.UNSEEN
    status, started = state
    # A zombie has ended; its parent has not collected its exit status yet.
    return Liveness.DEAD if started != owner.started or status in "ZX" else Liveness.ALIVE


def _boot_id() -> str | None:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return None


def _namespace() -> str | None:
    # The time namespace shifts the boot clock that start times are counted on; kernels before 5.6 have none.
    names = []
    for kind in ("pid", "time"):
        try:
            names.append(os.readlink(f"/proc/self/ns/{kind}"))
        except OSError:
            names.append("")
    return " ".join(names) if names[0] else None


def _proc_is_ours() -> bool:
    # A process may get a pid namespace of its own and keep the old /proc, which numbers processes from outside.
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return False


def _process_state(pid: int) -> tuple[str, int] | None:
    """Status letter and start, in ticks since boot (fields 3 and 22 of /proc/PID/stat); None if they cannot be read."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            # The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
            fields = file.read().rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None
