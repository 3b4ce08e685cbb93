"""The programs that a cluster needs, and the one kind of error that stops the command."""

import os
import shutil

PACKAGES = "apt-get install --no-install-recommends slurm-wlm munge"
ACCOUNTING_PACKAGES = f"{PACKAGES} slurmdbd mariadb-server"
# Daemons are often outside a plain user's PATH.
DAEMON_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "scontrol")
ACCOUNTING_PROGRAMS = ("slurmdbd", "mariadbd", "mariadb-install-db", "sacctmgr")


class ClusterError(RuntimeError):
    """What stops the command, in one line for the person who typed it."""


def find_program(name: str) -> str:
    """The path of a program.

    Raises:
        ClusterError: If it is not installed, with the command that installs it.
    """
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{DAEMON_FOLDERS}")
    if path is None:
        packages = ACCOUNTING_PACKAGES if name in ACCOUNTING_PROGRAMS else PACKAGES
        raise ClusterError(f"the program `{name}` is not installed; as root: {packages}")
    return path


def require_programs(accounting: bool) -> None:
    """Reports the first program that is missing, before anything is written."""
    for name in PROGRAMS + ACCOUNTING_PROGRAMS * accounting:
        find_program(name)
