"""How an attempt at a run ended, and the lines that tell people."""

import logging
import math
import os
import sys
import time
from typing import NamedTuple, NoReturn

from simplexity.cluster import PreemptionGuard
from simplexity.runs import EventKind, ExitCode, Ledger, nats_text, optimum_text, this_job

_log = logging.getLogger("simplexity")


class RunResult(NamedTuple):
    """How an attempt ended. The final loss, in nats, is None unless the run is complete."""

    exit_code: ExitCode
    final_loss: float | None


def leave_process(exit_code: int, guard: PreemptionGuard) -> NoReturn:
    """Ends the process with `exit_code`, whatever signals still come and whatever its threads are doing."""
    guard.ignore()
    if exit_code != ExitCode.COMPLETE:
        # A compiler that is still at work in its thread would crash Python's own shutdown. Nothing is left to be done.
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exit_code)
    sys.exit(exit_code)


def describe_final_loss(loss_nats: float, optimum_nats: float, error_nats: float, validated: bool) -> str:
    """The program's last line, of at most 80 columns: the loss as a sum of the best possible one and the rest.

    Args:
        loss_nats: Of the last validation, or of the last logging window without validation.
        optimum_nats: The best possible one for this config.
        error_nats: What the optimum may be off by.
        validated: Whether the rest is a KL divergence, or has the noise of sampled tokens.
    """
    excess = loss_nats - optimum_nats
    percent = 100 * excess / optimum_nats if optimum_nats > 0 else math.inf
    # Nothing is a percentage of a deterministic process's optimum, 0, and a large multiple is none that people read.
    share = f" ({percent:.2f} %)" if abs(percent) < 1000 else ""
    name = "KL" if validated else "excess"
    optimum = optimum_text(optimum_nats, error_nats)
    return f"final loss {nats_text(loss_nats)} nats = optimum {optimum} + {name} {nats_text(excess)}{share}"


def leave(ledger: Ledger, guard: PreemptionGuard, step: int) -> RunResult:
    """Ends an attempt that was asked to leave; `step` is where the run will go on."""
    signalled_s, job = guard.requested_at_s, this_job()
    stopping_s = None if signalled_s is None else round(time.monotonic() - signalled_s, 3)
    is_over = job is not None and job.is_over(time.time() - (stopping_s or 0.0))
    ledger.append(
        EventKind.PREEMPTED,
        step,
        reason=guard.reason,
        stopping_s=stopping_s,
        time_limit_s=job.time_limit_s if job is not None and is_over else None,
    )
    _log.info("stopped at step %d by %s; to go on: %s", step, guard.reason, guard.resume_command)
    return RunResult(ExitCode.REQUEUE, None)
