"""One cluster's folder, its daemons as processes, and its clients' environment."""

import json
import os
import socket
import subprocess
import time
from pathlib import Path

from .configuration import node_names
from .programs import ClusterError, find_program

START_TIMEOUT_S = 60


def start_ticks(pid: int) -> str | None:
    """The start time of a living process: with the pid it names a process for good, though pids are used again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Cluster:
    """One cluster's folder: its options (cluster.json), its daemons, and the clients' environment."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.record = folder / "cluster.json"
        # Inside a job of another cluster, that job's variables would become options of our commands.
        own = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))}
        self.environment = {**own, "SLURM_CONF": str(folder / "slurm.conf")}

    @property
    def exists(self) -> bool:
        return self.record.is_file()

    def settings(self) -> dict:
        return json.loads(self.record.read_text())

    def daemons(self, settings: dict) -> dict[str, list[str]]:
        """Command of every daemon in the order of their starts, all in the foreground of a session of their own."""
        folder, options = self.folder, settings["options"]
        commands = {
            "munged": [find_program("munged"), "--foreground", "--force", f"--key-file={folder}/munge.key",
                       f"--socket={folder}/munge.socket", f"--pid-file={folder}/run/munged.native",
                       f"--log-file={folder}/log/munged.log", f"--seed-file={folder}/munge.seed"],
        }  # fmt: skip
        if options["accounting"]:
            commands["mariadbd"] = [
                find_program("mariadbd"), "--no-defaults", f"--datadir={folder}/database/data",
                f"--socket={folder}/database/socket", f"--pid-file={folder}/run/mariadbd.native",
                f"--log-error={folder}/log/mariadbd.log", "--skip-networking", "--innodb-buffer-pool-size=16M",
                "--innodb-lock-wait-timeout=900", f"--user={settings['user']}",
            ]  # fmt: skip
            commands["slurmdbd"] = [find_program("slurmdbd"), "-D"]
        commands["slurmctld"] = [find_program("slurmctld"), "-D", "-i"]
        slurmd = find_program("slurmd")
        return commands | {name: [slurmd, "-D", "-N", name] for name in node_names(options["nodes"])}

    def alive(self, daemon: str) -> int | None:
        """The pid of a daemon that this cluster started and that still runs."""
        try:
            pid, ticks = (self.folder / "run" / f"{daemon}.pid").read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if start_ticks(int(pid)) == ticks else None

    def start(self, daemon: str, command: list[str]) -> None:
        environment = dict(self.environment)
        if daemon == "slurmdbd":  # the MySQL client library finds the server's socket here, and nowhere else
            environment["MYSQL_UNIX_PORT"] = str(self.folder / "database" / "socket")
        with open(self.folder / "log" / f"{daemon}.out", "ab") as output:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        (self.folder / "run" / f"{daemon}.pid").write_text(f"{process.pid} {start_ticks(process.pid)}\n")

    def client(self, *command: str, timeout_s: float = 20) -> subprocess.CompletedProcess:
        """Calls one of SLURM's commands on this cluster."""
        try:
            return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"no answer in {timeout_s:g} s")

    def wait_for(self, what: str, daemon: str, ready) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready():
            if self.alive(daemon) is None or time.monotonic() > deadline:
                raise ClusterError(f"{what} did not start; see {self.folder}/log ({daemon}.log and {daemon}.out)")
            time.sleep(0.1)


def accepts(family: int, address) -> bool:
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0
