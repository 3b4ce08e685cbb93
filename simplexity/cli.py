"""`simplexity`: looking after runs and sweeps, from a login node as well; without JAX, but for `resume`.

Exit codes: 0 done, 1 something failed, 2 a mistake in the command, 85 stopped and to be started again.
"""

import sys
from collections.abc import Sequence

from simplexity.host import PreemptionGuard, collect_garbage_less_often, discard, open_missing_streams
from simplexity.runs import ExitCode, error_text, reason


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command, by default the process's arguments; returns its exit code."""
    open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        # A path may hold what the terminal's encoding, or any, cannot say.
        stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue]
    collect_garbage_less_often()
    with PreemptionGuard() as guard:
        # Behind the guard: a signal that comes during the imports must not kill a run that is being started.
        from simplexity._cli_parser import run_command

        try:
            code = run_command(arguments, guard)
            sys.stdout.flush()
        except BrokenPipeError:
            # As of `simplexity results SWEEP | head`. Python would report it again when it flushes at exit.
            discard(sys.stdout.fileno())
            return ExitCode.COMPLETE
        except ValueError as error:
            return _report(error, ExitCode.BAD_CONFIG)
        except (RuntimeError, OSError) as error:
            return _report(error, ExitCode.FAILED)
        if code == ExitCode.REQUEUE:
            # Another signal that arrives while Python shuts down would replace the exit code.
            guard.ignore()
        return code


def _report(error: Exception, code: ExitCode) -> ExitCode:
    text = f"`{error.filename}`: {reason(error)}" if isinstance(error, OSError) and error.filename else str(error)
    message = " ".join(text.split()) or type(error).__name__
    print(error_text(f"simplexity: {message}", sys.stderr), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
