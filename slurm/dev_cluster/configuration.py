"""The files of a cluster's folder: slurm.conf, the key, and what the accounting needs."""

import os
import random
import secrets
import socket
import subprocess
from pathlib import Path

from .programs import ClusterError

LONGEST_SOCKET_PATH = 107  # sun_path of unix(7), less its final zero

SLURM_CONF = """\
ClusterName=dev
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[slurmctld]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# The delay before a requeued job may start follows the life of a credential; 5 s is the least that is accepted.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.native
SlurmdPidFile={folder}/run/%n.native
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin={task_plugin}
MpiDefault=none
MaxArraySize={max_array_size}
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=30
KillWait=10
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=256
PreemptType=preempt/partition_prio
PreemptMode={preempt_mode}
{optional}
{nodes}
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime={grace} PreemptMode={preempt_mode}
PartitionName=high Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
"""

# Version 2 would need systemd, which has no unit for a slurmd of this cluster.
CGROUP_CONF = """\
CgroupPlugin=cgroup/v1
ConstrainRAMSpace=yes
"""

MEMORY_CGROUPS = Path("/sys/fs/cgroup/memory")

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={ports[slurmdbd]}
SlurmUser={user}
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.native
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageLoc=slurm_acct_db
StorageUser=root
"""


def write_configuration(folder: Path, options: dict) -> dict:
    """Writes everything that the daemons read into an empty folder, and returns the cluster's settings.

    Raises:
        ClusterError: If the folder is in use, or SLURM cannot use its name.
    """
    if len(os.fsencode(folder / "database" / "socket")) > LONGEST_SOCKET_PATH:
        raise ClusterError(f"{folder} is too long a path for a socket; choose a shorter one")
    if any(character in str(folder) for character in " \t\n#%,=\"'"):
        raise ClusterError(f"{folder} has a character that slurm.conf cannot hold; choose another folder")
    for name in ("log", "run", "state", *(f"spool/{node}" for node in node_names(options["nodes"]))):
        (folder / name).mkdir(parents=True)
    names = ["slurmctld", "slurmdbd", *node_names(options["nodes"])]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    settings = {"options": options, "user": current_user(), "ports": ports}
    key = folder / "munge.key"
    write_secret(key, secrets.token_bytes(128))
    key.chmod(0o400)  # munged requires it
    if options["accounting"]:
        text = SLURMDBD_CONF.format(folder=folder, ports=ports, user=settings["user"])
        write_secret(folder / "slurmdbd.conf", text.encode())
    write_gpus(folder, options)
    if options.get("memory_limits"):
        require_memory_cgroups()
        (folder / "cgroup.conf").write_text(CGROUP_CONF)
    (folder / "slurm.conf").write_text(slurm_conf(folder, settings))
    return settings


def write_secret(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


def require_memory_cgroups() -> None:
    """Checks that SLURM can limit the memory of jobs here.

    Raises:
        ClusterError: If it cannot.
    """
    if not (MEMORY_CGROUPS / "cgroup.procs").is_file() or not os.access(MEMORY_CGROUPS, os.W_OK):
        raise ClusterError(f"memory limits need root, and cgroups of version 1 in {MEMORY_CGROUPS}")


def write_gpus(folder: Path, options: dict) -> None:
    """Gives each node GPUs that are names of /dev/null: SLURM sets CUDA_VISIBLE_DEVICES for character devices alone."""
    for number in range(options.get("gpus") or 0):
        (folder / f"gpu{number}").symlink_to(os.devnull)
        with open(folder / "gres.conf", "a") as file:
            file.write(f"Name=gpu File={folder}/gpu{number} Flags=nvidia_gpu_env\n")


def slurm_conf(folder: Path, settings: dict) -> str:
    options, ports = settings["options"], settings["ports"]
    optional = ["SlurmctldParameters=preempt_send_user_signal"] if options["user_signal"] else []
    if options["accounting"]:
        optional += ["AccountingStorageType=accounting_storage/slurmdbd", "AccountingStorageHost=localhost"]
        optional += [f"AccountingStoragePort={ports['slurmdbd']}", f"AccountingStoragePass={folder}/munge.socket"]
    if options.get("max_submit_jobs"):
        optional += ["AccountingStorageEnforce=associations,limits"]
    gpus = f" Gres=gpu:{options['gpus']}" if options.get("gpus") else ""
    optional += ["GresTypes=gpu"] if gpus else []
    nodes = [
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[name]} "
        f"CPUs={options['cpus']} RealMemory={options['memory_mb']}{gpus}"
        for name in node_names(options["nodes"])
    ]
    return SLURM_CONF.format(
        folder=folder,
        host=socket.gethostname(),
        ports=ports,
        user=settings["user"],
        preempt_mode=options["preempt_mode"].upper(),
        grace=options["grace"],
        max_array_size=options["max_array_size"],
        task_plugin="task/cgroup" if options.get("memory_limits") else "task/none",
        optional="\n".join(optional),
        nodes="\n".join(nodes),
    )


def free_ports(count: int) -> list[int]:
    """Ports below the range that the kernel hands to outgoing connections, so that none is taken between restarts."""
    ports: list[int] = []
    for port in random.SystemRandom().sample(range(20000, 32000), 2000):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise ClusterError("no free ports between 20000 and 32000")


def node_names(count: int) -> list[str]:
    return [f"n{index}" for index in range(1, count + 1)]


def current_user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
