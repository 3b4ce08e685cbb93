"""Which tasks of a SLURM job step train one run together, and where they find each other."""

import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import NamedTuple

# Above Linux's range for outgoing connections (32768 to 60999), which could have taken the port already.
_FIRST_PORT, _NUM_PORTS = 61440, 4096
# By the golden ratio, so that the first restarts of a job are far from it, and from each other's neighbours.
_PORTS_PER_RESTART, _PORTS_PER_STEP = 2531, 499


class StepTasks(NamedTuple):
    """The tasks of this process's job step, one process each.

    Attributes:
        coordinator_address: HOST:PORT at which process 0 is found; equal in all processes.
        bind_address: HOST:PORT at which process 0 listens.
        num_processes: Number of tasks, at least 2.
        process_id: Number of this process, from 0.
        local_gpus: Which of the GPUs that this process sees are its own, counted from 0; None for all of them.
    """

    coordinator_address: str
    bind_address: str
    num_processes: int
    process_id: int
    local_gpus: tuple[int, ...] | None


def step_tasks(
    environment: Mapping[str, str] | None = None, resolves: Callable[[str], bool] | None = None
) -> StepTasks | None:
    """The tasks in the environment (by default this process's); None for a process alone, in SLURM or not.

    Only what `srun` has started is a task of a step: the batch script itself has none, whatever the job's size.

    Args:
        environment: Variables as SLURM sets them for each task.
        resolves: Whether a host name has an address here; by default the system's resolver says.

    Raises:
        ValueError: If the tasks of this node cannot share its GPUs evenly.
    """
    values = os.environ if environment is None else environment
    num_processes = int(values.get("SLURM_STEP_NUM_TASKS") or 1)
    if num_processes == 1:
        return None
    port = coordinator_port(
        int(values["SLURM_JOB_ID"]), int(values["SLURM_STEP_ID"]), int(values.get("SLURM_RESTART_COUNT") or 0)
    )
    if int(values["SLURM_STEP_NUM_NODES"]) == 1:
        # Needs no name, and no other machine can connect.
        host = bind_host = "127.0.0.1"
    else:
        host, bind_host = first_host(values["SLURM_STEP_NODELIST"]), "[::]"
        if not (resolves or _resolves)(host):
            # Node names need not be host names. The step was started from the batch script, on the first node.
            host = values.get("SLURM_LAUNCH_NODE_IPADDR", host)
    return StepTasks(
        coordinator_address=f"{host}:{port}",
        bind_address=f"{bind_host}:{port}",
        num_processes=num_processes,
        process_id=int(values["SLURM_PROCID"]),
        local_gpus=_local_gpus(values),
    )


def start_of_step(environment: Mapping[str, str] | None = None) -> str | None:
    """Names this start of this process's job step, alike in all of its tasks; None for a process alone."""
    values = os.environ if environment is None else environment
    if int(values.get("SLURM_STEP_NUM_TASKS") or 1) == 1:
        return None
    restart = values.get("SLURM_RESTART_COUNT") or 0
    return f"step {values['SLURM_STEP_ID']} of job {values['SLURM_JOB_ID']}, restart {restart}"


def coordinator_port(job_id: int, step_id: int, restart_count: int) -> int:
    """A port for each start of each job step, so that two on one node, or what one left behind, do not use the same."""
    offset = job_id + _PORTS_PER_STEP * step_id + _PORTS_PER_RESTART * restart_count
    return _FIRST_PORT + offset % _NUM_PORTS


def first_host(node_list: str) -> str:
    """The first of SLURM's compressed host names: `rack[1-2]n[07,09-12],login` begins with `rack1n07`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", node_list)
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first[0] if first else "")


def tasks_on_node(tasks_per_node: str, node: int) -> int:
    """Reads SLURM's counts per node: in `2(x3),1` the nodes 0 to 2 have two tasks each, and node 3 has one."""
    for part in tasks_per_node.split(","):
        count, _, repeats = part.rstrip(")").partition("(x")
        node -= int(repeats or 1)
        if node < 0:
            return int(count)
    raise ValueError(f"`tasks_per_node` has no node that far: {tasks_per_node}")


def _local_gpus(values: Mapping[str, str]) -> tuple[int, ...] | None:
    """SLURM shows all of a job's GPUs on a node to each task there, unless it is configured to bind them."""
    num_gpus = len([name for name in values.get("CUDA_VISIBLE_DEVICES", "").split(",") if name])
    num_tasks = tasks_on_node(values["SLURM_STEP_TASKS_PER_NODE"], int(values["SLURM_NODEID"]))
    if num_gpus <= 1 or num_tasks == 1:
        return None
    each, rest = divmod(num_gpus, num_tasks)
    if rest:
        raise ValueError(
            f"{num_tasks} tasks on a node cannot share its {num_gpus} GPUs evenly: "
            "ask for as many tasks per node as GPUs per node"
        )
    first = each * int(values["SLURM_LOCALID"])
    return tuple(range(first, first + each))


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, None)
    except OSError:
        return False
    return True
