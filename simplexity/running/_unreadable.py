"""A start that cannot read a file of its run, before the ledger can say so: it is made once more, in a job.

A start first reads the sweep's manifest, the config, COMPLETE, the lock and the ledger. Until all of these are read,
nothing may be written into the ledger, so a file of its own, beside the sweep's logs or, of a run without a sweep, in
its folder, notes down that a start has failed in this way. There is one for all that a start reads, or it could fail at
one file and then at another without end. The first start that has read them all removes it. What is read later is in
the ledger: see `Event.comes_back`.

A worker has a note of its own for what it reads before its first run.
"""

import logging
from contextlib import suppress
from pathlib import Path

from simplexity.cluster import start_of_step
from simplexity.composition import describe_error
from simplexity.runs import ExitCode, UnreadableError, this_job, write_durably

_log = logging.getLogger("simplexity")
_AGAIN, _FAILED = "is made once more", "has failed"


def start_once_more(note: Path, error: UnreadableError, *, stop_requested: bool) -> ExitCode:
    """The exit code that has the run, or the worker, started again: after a stop request, or once in a job.

    Args:
        note: The file that says how the start before this one has failed, if it has.
        error: What could not be read.
        stop_requested: Whether a stop was requested, which ends the tries at reading early and counts for none.

    Raises:
        UnreadableError: The same, if the start before this one has failed in this way too, or nothing would start it
            again.
    """
    if not stop_requested and not _may_come_back(note):
        raise error
    _log.error("%s; this start is made once more", describe_error(error))
    return ExitCode.REQUEUE


def forget_failed_starts(note: Path) -> None:
    """To be called once everything is read: the next start that cannot read a file may be made once more again."""
    with suppress(OSError):
        note.unlink(missing_ok=True)


def _may_come_back(path: Path) -> bool:
    """Whether the start before this one has not failed so, which is noted down.

    The tasks of a job step may each fail to read the same file, and SLURM takes the highest of their exit codes: all of
    them have to give the same answer. So the note of a start that is not made again stays, for the other tasks.
    """
    if this_job() is None:
        return False
    step = start_of_step()
    again, failed = (f"{step or 'a process alone'}: {answer}" for answer in (_AGAIN, _FAILED))
    try:
        with suppress(FileNotFoundError):
            note = path.read_text()
            if step is not None and note in (again, failed):
                return note == again
            if not note.endswith(_FAILED):
                write_durably(path, failed)
                return False
        write_durably(path, again)
    except OSError:
        # Without a note there would be no end to the starts.
        return False
    return True
