from enum import IntEnum


class ExitCode(IntEnum):
    """What a run's process says to the shell, the batch script and SLURM when it ends.

    The batch script acts on one of them only: it requeues the job when it sees `REQUEUE`. The value 85 is none that
    Python, shells (126 and more) or sysexits.h (64 to 78) use.
    """

    COMPLETE = 0
    """The run has finished, now or earlier: its directory holds `COMPLETE`."""
    FAILED = 1
    """Something failed (disk, NaN, no progress, a file that cannot be read); nothing starts the run again by itself."""
    BAD_CONFIG = 2
    """The config or the command line is wrong; nothing was trained."""
    REQUEUE = 85
    """The run was asked to stop, has saved everything, and wants to be started again."""
