"""How an attempt at a run ends: its result, its last line, and the exit code of the process."""

import logging
import math
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

from simplexity.host import PreemptionGuard, discard
from simplexity.runs import EventKind, ExitCode, Ledger, nats_text, optimum_text, this_job

_log = logging.getLogger("simplexity")
# A model that has not been trained yet has a loss within a few percent of a uniform guess's.
_NEAR = 1.2


class RunResult(NamedTuple):
    """How an attempt ended. The final loss, in nats, is None unless the run is complete."""

    exit_code: ExitCode
    final_loss: float | None


def exit_process(exit_code: int, guard: PreemptionGuard) -> NoReturn:
    """Ends the process, whatever signals still come and whatever its threads are doing.

    Args:
        exit_code: What it ends with, also if what it has printed cannot be written.
        guard: Holds the signals, which are ignored from now on.
    """
    guard.ignore()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except ValueError:
            pass  # it was closed: nothing is left to be written
        except OSError:
            # A terminal that was hung up, a full disk, a reader that is gone: Python's own flush at its end would
            # fail on the same text, and replace the exit code.
            discard(stream.fileno())
    if exit_code != ExitCode.COMPLETE:
        # A compiler that is still at work in its thread would crash Python's own shutdown. Nothing is left to be done.
        logging.shutdown()
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


def describe_worse_than_guessing(loss_nats: float, vocab_size: int) -> str | None:
    """What is odd about a final loss that is clearly above that of a uniform guess, as where training has diverged.

    Args:
        loss_nats: The final loss.
        vocab_size: Tokens that the model chooses between.

    Returns:
        One line; None if the loss is below that, or near it, as of a model that has hardly been trained.
    """
    guess_nats = math.log(vocab_size)
    # Not "above": of a NaN too.
    if loss_nats <= _NEAR * guess_nats:
        return None
    guess = f"log {vocab_size} = {nats_text(guess_nats)}"
    return f"the loss, {nats_text(loss_nats)} nats, is more than {_NEAR:g} times that of guessing, {guess}"


def describe_not_finite(run_dir: Path, step: int, *, saves: bool) -> str:
    """What to do about a loss that is not finite: the run itself would repeat it, and may not change its config.

    Args:
        run_dir: The run's directory.
        step: The last step before it.
        saves: Whether the run has checkpoints.
    """
    weights = ""
    if saves and step > 0:
        weights = f"; with `predictive_model.load_checkpoint_from={run_dir}` it begins with the weights of step {step}"
    return (
        f"the loss is not finite at step {step + 1}, and would be so again if this run were resumed: start a new run "
        "with a smaller `training.optimizer.instance.learning_rate` or `training.gradient_clip_norm` in another "
        f"`hydra.run.dir`{weights}"
    )


def record_stop(ledger: Ledger, guard: PreemptionGuard, step: int, *, saves: bool) -> RunResult:
    """Writes into the ledger and the log that an attempt was stopped.

    Args:
        ledger: The run's.
        guard: Knows who requested the stop.
        step: The last step; where the run will be resumed, if it saves.
        saves: Whether the run has checkpoints. A run that has none begins again.
    """
    signalled_s, job = guard.requested_at_s, this_job()
    stopping_s = None if signalled_s is None else round(time.monotonic() - signalled_s, 3)
    is_over = job is not None and job.is_over(time.time() - (stopping_s or 0.0))
    reason = guard.reason if saves else f"{guard.reason}; nothing is saved, because `persistence.instance` is null"
    ledger.append(
        EventKind.PREEMPTED,
        step if saves else 0,
        reason=reason,
        stopping_s=stopping_s,
        time_limit_s=job.time_limit_s if job is not None and is_over else None,
    )
    again = "to resume" if saves else "to start again at step 0"
    _log.info("stopped at step %d by %s; %s: %s", step, reason, again, guard.resume_command)
    return RunResult(ExitCode.REQUEUE, None)
