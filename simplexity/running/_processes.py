"""One run in one process, or in all tasks of its SLURM job step."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from simplexity.cluster import StepTasks, step_tasks
from simplexity.composition import one_line
from simplexity.host import PreemptionGuard, check_num_cpu_devices
from simplexity.runs import ExitCode, error_text

# A process that is lost never disconnects, and JAX would wait for it for minutes.
_DISCONNECT_S = 30.0
# The tasks of a step start at about the same time, but on a busy file system one may import JAX minutes later.
_CONNECT_S = 300.0
_REMARK_S = 10.0
_POLL_S = 0.1


def in_all_tasks(program: Callable[[], int], guard: PreemptionGuard) -> int:
    """Calls `program` in a process alone, or in the first of a job step's tasks, for which the others work.

    Args:
        program: Runs the program; returns its exit code.
        guard: Installed.

    Returns:
        The exit code, the same in all processes.
    """
    try:
        check_num_cpu_devices()
        tasks = step_tasks()
        if tasks is not None and not _connect(tasks, guard):
            sys.stderr.write(f"stopped by {guard.reason} while it waited for the other processes of its job step\n")
            return ExitCode.REQUEUE
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"{error_text(one_line(str(error)), sys.stderr)}\n")
        return ExitCode.BAD_CONFIG if isinstance(error, ValueError) else ExitCode.FAILED
    if tasks is None:
        return program()
    from ._messages import ToCoordinator, ToWorkers
    from ._worker import work

    if tasks.process_id == 0:
        workers = ToWorkers(guard)
        workers.send_arguments(sys.argv[1:])
        exit_code = program()
        workers.shut_down(exit_code)
        if not workers.are_lost():
            _disconnect()
    else:
        exit_code = work(ToCoordinator(guard))
        _disconnect()
    return exit_code


def _connect(tasks: StepTasks, guard: PreemptionGuard) -> bool:
    """Joins the processes; False if a stop was requested of `guard` before they had all come.

    Raises:
        RuntimeError: If process 0 cannot listen, the others do not come, or could not find this one.
    """
    host, _, port = tasks.coordinator_address.rpartition(":")
    _require_address()
    if tasks.process_id == 0:
        _require_free(int(port))
    import jax

    # Many clusters have a proxy, through which gRPC would look for process 0. JAX only warns of it.
    os.environ["no_grpc_proxy"] = host  # noqa: SIM112 (gRPC reads no other)
    jax.config.update("jax_check_proxy_envs", False)
    # It would take SIGTERM away from the guard.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # In a thread, because JAX waits in native code, in which Python handles no signal.
    joined: Future[None] = Future()
    threading.Thread(target=_join, args=(tasks, joined), daemon=True).start()
    began_s, has_remarked = time.monotonic(), False
    while not joined.done():
        if guard.wait(_POLL_S):
            return False
        waited_s = time.monotonic() - began_s
        if waited_s > _REMARK_S and not has_remarked:
            has_remarked = True
            sys.stderr.write(f"waiting for {_the_others(tasks)}\n")
        if waited_s > _CONNECT_S:
            raise RuntimeError(
                f"waited {waited_s:.0f} s for {_the_others(tasks)}: see whether they have started, and submit again"
            )
    joined.result()
    return True


def _join(tasks: StepTasks, joined: Future[None]) -> None:
    import jax

    try:
        jax.distributed.initialize(
            tasks.coordinator_address,
            tasks.num_processes,
            tasks.process_id,
            local_device_ids=tasks.local_gpus,
            cluster_detection_method="deactivate",
            # Longer than the process waits: JAX would abort it.
            initialization_timeout=int(2 * _CONNECT_S),
            coordinator_bind_address=tasks.bind_address,
        )
        # Every process waits here until each has named its devices: none may be late with it for reasons of its own.
        jax.devices()
    except BaseException as error:
        joined.set_exception(error)
    else:
        joined.set_result(None)


def _the_others(tasks: StepTasks) -> str:
    return (
        f"the other processes of this job step: SLURM says that it has {tasks.num_processes}, expected at "
        f"{tasks.coordinator_address}; to run in this process alone, set SLURM_STEP_NUM_TASKS=1, or give srun `-n1`"
    )


def _require_address() -> None:
    """Gloo looks up this machine's name for the address at which the other processes find this one."""
    name = socket.gethostname()
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        raise RuntimeError(
            f"no address is known for this machine's name, {name} ({error.strerror}), and the processes of a run "
            "connect by it: add it to /etc/hosts"
        ) from None


def _require_free(port: int) -> None:
    """JAX may share a port with another run of the same user, or continue without one and fail minutes later."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("", port))
        except OSError as error:
            raise RuntimeError(
                f"process 0 of this run cannot listen at port {port} of {socket.gethostname()} ({error.strerror}), "
                "where the others expect it; submit again: another job has another port"
            ) from None


def _disconnect() -> None:
    import jax

    def shut_down() -> None:
        # The failure of a process that is lost is reported where it happened.
        with suppress(RuntimeError):
            jax.distributed.shutdown()

    # A daemon, because the process exits whether or not the others answer.
    thread = threading.Thread(target=shut_down, daemon=True)
    thread.start()
    thread.join(_DISCONNECT_S)
