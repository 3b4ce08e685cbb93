"""Whether a sweep's files are its user's own: starting the runs of a sweep executes what they say."""

import os
import shlex
import stat

from simplexity.runs import retry_read

from ._directory import SweepDirectory
from ._launch_settings import private_values, read_private_values


def require_own(sweep: SweepDirectory) -> None:
    """Checks that no other user can have changed what starting the sweep's runs executes.

    Raises:
        RuntimeError: If a file is another user's, or all users may write it, or the values of variables are gone.
    """
    for path in (sweep.path, sweep.folder, sweep.manifest_path, sweep.runs_path, sweep.environment_path):
        try:
            status = retry_read(path.stat)
        except FileNotFoundError:
            continue
        if status.st_uid != os.geteuid():
            raise RuntimeError(
                f"{path} belongs to another user (uid {status.st_uid}), and starting a sweep's runs executes what "
                "its files say: its owner may do that"
            )
        if status.st_mode & stat.S_IWOTH:
            raise RuntimeError(
                f"all users may write {path}, and starting a sweep's runs executes what its files say: look "
                f"through them, then chmod o-w {shlex.quote(str(path))}"
            )
    launch = sweep.read_manifest(with_runs=False).launch
    if private_values(launch) and read_private_values(sweep.environment_path) is None:
        raise RuntimeError(
            f"{sweep.environment_path}, which has the values of its runs' variables, is gone or corrupt: restore it "
            "from a copy, or start the sweep in another folder"
        )
