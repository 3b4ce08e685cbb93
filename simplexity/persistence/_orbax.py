"""Arrays written and read by Orbax. Functions import this module where they use it: Orbax takes a fifth of a second."""

import errno
import logging
import os
import re
import threading
from importlib.metadata import version
from pathlib import Path

import orbax.checkpoint as ocp

from simplexity.runs import reason

from ._leaves import HostArrays

# Orbax logs a dozen lines per save, and tracebacks of failures that are raised as well.
logging.getLogger("absl").setLevel(logging.CRITICAL)
# Orbax numbers its operations for the whole process: two saves at a time, of two runs in threads of their own, wait for
# each other's signals without end.
_one_at_a_time = threading.Lock()


def save_arrays(folder: Path, arrays: HostArrays) -> None:
    """Writes the arrays into `folder`, as the item `state` of a checkpoint; without those that have no elements.

    Orbax refuses to save an array without elements.
    """
    state = ocp.args.PyTreeSave({name: array for name, array in arrays.items() if array.size > 0})
    with _one_at_a_time:
        _orbax().save(folder, args=ocp.args.Composite(state=state))


def restore_arrays(folder: Path) -> HostArrays:
    """What `save_arrays` has written.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        with _one_at_a_time:
            return _orbax().restore(folder, args=ocp.args.Composite(state=ocp.args.PyTreeRestore()))["state"]
    except MemoryError:
        raise
    except Exception as error:
        # Its files were right a moment ago: a disk that fails now, or an Orbax that cannot read what another one wrote.
        message = f"Orbax {version('orbax-checkpoint')}: {one_line(error)}"
        raise OSError(errno.EIO, message, str(folder)) from error


def one_line(error: Exception) -> str:
    """The system's words for what went wrong; TensorStore has only their number, inside of a long message."""
    if isinstance(error, OSError) and error.strerror:
        return reason(error)
    if found := re.search(r"os_error_code='(\d+)'", str(error)):
        return reason(OSError(int(found[1]), os.strerror(int(found[1]))))
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _orbax() -> ocp.Checkpointer:
    """Orbax for process 0 alone: by default it has all processes of a run wait for each other."""
    alone = ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})
    handler = ocp.CompositeCheckpointHandler(composite_options=ocp.CompositeOptions(multiprocessing_options=alone))
    return ocp.Checkpointer(handler, multiprocessing_options=alone)
