"""One run in one process, or in all tasks of its SLURM job step."""

import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from simplexity.cluster import PreemptionGuard, StepTasks, check_num_cpu_devices, step_tasks
from simplexity.runs import ExitCode

from ._problems import one_line

# A process that is lost never disconnects, and JAX would wait for it for minutes.
_DISCONNECT_S = 30.0


def in_all_tasks(lead: Callable[[], int], guard: PreemptionGuard) -> int:
    """Calls `lead` in a process alone, or in the first of a job step's tasks while the others follow it.

    Args:
        lead: Runs the program; returns its exit code.
        guard: Installed.

    Returns:
        The exit code, the same in all processes.
    """
    try:
        check_num_cpu_devices()
        tasks = step_tasks()
        if tasks is not None:
            _connect(tasks)
    except (ValueError, RuntimeError) as error:
        sys.stderr.write(f"{one_line(str(error))}\n")
        return ExitCode.BAD_CONFIG if isinstance(error, ValueError) else ExitCode.FAILED
    if tasks is None:
        return lead()
    from ._follow import follow
    from ._messages import Followers, Leader

    if tasks.process_id == 0:
        followers = Followers(guard)
        followers.announce(sys.argv[1:])
        exit_code = lead()
        followers.dismiss(exit_code)
        if not followers.are_lost():
            _disconnect()
    else:
        exit_code = follow(Leader(guard))
        _disconnect()
    return exit_code


def _connect(tasks: StepTasks) -> None:
    """Joins the processes.

    Raises:
        RuntimeError: If process 0 cannot listen.
    """
    host, _, port = tasks.coordinator_address.rpartition(":")
    if tasks.process_id == 0:
        _require_free(int(port))
    import jax

    # Many clusters have a proxy, through which gRPC would look for process 0. JAX only warns of it.
    os.environ["no_grpc_proxy"] = host  # noqa: SIM112 (gRPC reads no other)
    jax.config.update("jax_check_proxy_envs", False)
    # It would take SIGTERM away from the guard.
    jax.config.update("jax_enable_preemption_service", False)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        tasks.coordinator_address,
        tasks.num_processes,
        tasks.process_id,
        local_device_ids=tasks.local_gpus,
        coordinator_bind_address=tasks.bind_address,
        cluster_detection_method="deactivate",
    )
    # Every process waits here until each has named its devices: none may be late with it for reasons of its own.
    jax.devices()


def _require_free(port: int) -> None:
    """JAX may share a port with another run of the same user, or go on without one and die minutes later."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("", port))
        except OSError as error:
            raise RuntimeError(
                f"the processes of this run cannot meet at port {port} of {socket.gethostname()} ({error.strerror}); "
                "submit again: another job has another port"
            ) from None


def _disconnect() -> None:
    import jax

    def shut_down() -> None:
        # Whoever is lost has its failure told elsewhere.
        with suppress(RuntimeError):
            jax.distributed.shutdown()

    # A daemon, because the process leaves whether or not the others answer.
    thread = threading.Thread(target=shut_down, daemon=True)
    thread.start()
    thread.join(_DISCONNECT_S)
