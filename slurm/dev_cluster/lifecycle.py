"""Starting a cluster's daemons in their order, and ending its jobs, daemons and whatever they left."""

import contextlib
import os
import signal
import socket
import time
from pathlib import Path

from .cluster import Cluster, accepts
from .configuration import node_names
from .programs import ClusterError, find_program

STOP_TIMEOUT_S = 20
USABLE_STATES = {"idle", "mixed", "allocated", "completing"}


def create_database(cluster: Cluster, user: str) -> None:
    database = cluster.folder / "database"
    database.mkdir(mode=0o700)  # the database's root has no password: the folder is what keeps others out
    installer = [find_program("mariadb-install-db"), "--no-defaults", f"--datadir={database}/data", f"--user={user}"]
    options = ["--auth-root-authentication-method=normal", "--skip-test-db"]
    answer = cluster.client(*installer, *options, timeout_s=120)
    if answer.returncode != 0:
        raise ClusterError(f"mariadb-install-db failed: {answer.stderr.strip()}")


def start_daemons(cluster: Cluster) -> None:
    """Starts whatever does not run, each daemon once those that it needs answer."""
    folder, settings = cluster.folder, cluster.settings()
    ready = {
        "munged": lambda: cluster.client("munge", f"--socket={folder}/munge.socket", "--no-input").returncode == 0,
        "mariadbd": lambda: accepts(socket.AF_UNIX, str(folder / "database" / "socket")),
        "slurmdbd": lambda: accepts(socket.AF_INET, ("127.0.0.1", settings["ports"]["slurmdbd"])),
        "slurmctld": lambda: cluster.client("scontrol", "ping").returncode == 0,
    }
    for daemon, command in cluster.daemons(settings).items():
        if cluster.alive(daemon) is None:
            cluster.start(daemon, command)
            if daemon in ready:
                cluster.wait_for(daemon, daemon, ready[daemon])
            if daemon == "slurmdbd":  # slurmctld registers only with an accounting database that knows its name
                cluster.client("sacctmgr", "--immediate", "add", "cluster", "dev")
                limit_submissions(cluster, settings)
    for name in node_names(settings["options"]["nodes"]):
        cluster.wait_for(f"node {name}", name, lambda name=name: node_state(cluster, name) in USABLE_STATES)


def limit_submissions(cluster: Cluster, settings: dict) -> None:
    """Gives the cluster's user an account with the limit on submitted jobs that was asked for."""
    if limit := settings["options"].get("max_submit_jobs"):
        user = settings["user"]
        cluster.client("sacctmgr", "--immediate", "add", "account", "dev")
        cluster.client("sacctmgr", "--immediate", "add", "user", user, "account=dev", "DefaultAccount=dev")
        cluster.client("sacctmgr", "--immediate", "modify", "user", user, "set", f"MaxSubmitJobs={limit}")


def node_state(cluster: Cluster, name: str) -> str:
    return cluster.client("sinfo", "--noheader", "--nodes", name, "--format=%T").stdout.partition("\n")[0].strip()


def end_jobs(cluster: Cluster) -> None:
    """Cancels every job and waits for the nodes to be rid of them, while there is a slurmctld to do it."""
    if cluster.alive("slurmctld") is None:
        return
    jobs = cluster.client("squeue", "--noheader", "--format=%A").stdout.split()
    if jobs:
        cluster.client("scancel", "--signal=KILL", "--full", *jobs)
        cluster.client("scancel", *jobs)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while cluster.client("squeue", "--noheader").stdout.strip() and time.monotonic() < deadline:
        time.sleep(0.2)


def end_leftover_steps(cluster: Cluster) -> None:
    """Kills the job steps that outlived their slurmd: each slurmstepd that this cluster started, and its children."""
    mark = f"SLURM_CONF={cluster.folder / 'slurm.conf'}".encode()
    parents: dict[int, int] = {}
    steps = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if (entry / "comm").read_text() == "slurmstepd\n" and mark in (entry / "environ").read_bytes().split(b"\0"):
                steps.add(int(entry.name))
        except (OSError, ValueError):
            continue
    for pid in parents:
        ancestor = pid
        while ancestor and ancestor not in steps:
            ancestor = parents.get(ancestor, 0)
        if ancestor:
            send(pid, signal.SIGKILL)


def send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def stop_daemons(cluster: Cluster) -> None:
    for daemon in reversed(cluster.daemons(cluster.settings())):
        pid = cluster.alive(daemon)
        if pid is None:
            continue
        send(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while cluster.alive(daemon) is not None:
            if time.monotonic() > deadline:
                send(pid, signal.SIGKILL)
            time.sleep(0.05)
