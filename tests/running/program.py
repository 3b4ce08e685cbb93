"""The program of both scripts, called in this process."""

from simplexity.host import PreemptionGuard
from simplexity.running._entrypoint import run
from simplexity.running._run_log import close_logs


def call_program(config_name: str, *arguments: str) -> int:
    """Runs the program as `entrypoint` does, and returns its exit code instead of ending the process with it.

    Args:
        config_name: Primary config. Hydra names the run's log by `sys.argv[0]`, which the caller sets.
        *arguments: Of the command line.
    """
    try:
        return run(config_name, arguments, PreemptionGuard())
    finally:
        # A process's end closes them. Left open here, they would fail whichever test comes next.
        close_logs()
