"""How an attempt at a run ended, and the lines that tell people."""

import logging
import os
import sys
import time
from typing import NamedTuple, NoReturn

from simplexity.cluster import PreemptionGuard
from simplexity.runs import EventKind, ExitCode, Ledger

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


def describe_final_loss(loss_nats: float, optimum_nats: float, kl_nats: float | None) -> str:
    """The program's last line: the loss, the best possible one, and what lies between them.

    Args:
        loss_nats: Of the last validation, or of the last logging window without validation.
        optimum_nats: The best possible one for this config.
        kl_nats: The excess measured without label noise, if the run was validated.
    """
    excess = loss_nats - optimum_nats
    # A deterministic process has an optimum of 0, of which nothing is a percentage.
    percent = f" = {100 * excess / optimum_nats:.2f} %" if optimum_nats > 0 else ""
    kl = "" if kl_nats is None else f" (KL divergence from the process {kl_nats:.6f} nats)"
    return f"final loss {loss_nats:.6f} nats, optimum {optimum_nats:.6f}, excess {excess:.6f} nats{percent}{kl}"


def leave(ledger: Ledger, guard: PreemptionGuard, step: int) -> RunResult:
    """Ends an attempt that was asked to leave; `step` is where the run will go on."""
    signalled_s = guard.requested_at_s
    stopping_s = None if signalled_s is None else round(time.monotonic() - signalled_s, 3)
    ledger.append(EventKind.PREEMPTED, step, reason=guard.reason, stopping_s=stopping_s)
    _log.info("stopped at step %d by %s; to go on: %s", step, guard.reason, guard.resume_command)
    return RunResult(ExitCode.REQUEUE, None)
