"""A run as a job of submitit: submitting it, and what the job does."""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import submitit
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf

from simplexity.cluster import was_cancelled
from simplexity.host import PreemptionGuard
from simplexity.runs import ExitCode
from simplexity.sweeps import Manifest, SweepDirectory

# submitit counts preemptions of short jobs as time-outs. The run's ledger limits the starts that make no progress.
_MAX_NUM_TIMEOUT = 1_000_000
_POLL_S = 0.5


@dataclass(frozen=True)
class SubmittedRun:
    """Executes a run of a sweep from its frozen config.

    submitit pickles it with the run's index, and again at each requeue. It holds nothing that a changed checkout could
    make unreadable.

    Args:
        sweep_path: The sweep's folder.
        working_folder: Folder that relative paths in the configs start from.
    """

    sweep_path: Path
    working_folder: Path

    def __call__(self, index: int) -> None:
        """Runs until the run is complete, or ends the process after it has saved.

        Raises:
            RuntimeError: If the run fails.
        """
        from simplexity.running import run_frozen

        # submitit's own handler, which ends the process: ours has the run save first.
        requeue = signal.getsignal(getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}"))
        sweep = SweepDirectory.open(self.sweep_path)
        os.chdir(self.working_folder)
        with PreemptionGuard() as guard:
            run_dir = sweep.run_directory(sweep.read_run(index)).path
            log_name = f"{sweep.read_manifest(with_runs=False).program}.log"
            exit_code = run_frozen(run_dir, guard, log_name, sweep.unreadable_path(f"{index}"))
            if exit_code == ExitCode.REQUEUE:
                guard.ignore()
                _exit(requeue, comes_back=guard.reason != "interrupt" and not was_cancelled())
        if exit_code != ExitCode.COMPLETE:
            raise RuntimeError(f"run {index} of {self.sweep_path} ended with exit code {exit_code}")

    def checkpoint(self, index: int) -> submitit.helpers.DelayedSubmission:
        """What submitit submits when the job is requeued: the same, for the run directory knows how far it is."""
        return submitit.helpers.DelayedSubmission(self, index)


def submit_jobs(
    sweep: SweepDirectory, manifest: Manifest, indices: Sequence[int], executor: str, parameters: Mapping[str, Any]
) -> list[submitit.Job[None]]:
    """Submits runs of a sweep that this process has locked, as one array where the executor has arrays.

    Args:
        sweep: The sweep.
        manifest: Its manifest.
        indices: The runs.
        executor: submitit's name of the executor.
        parameters: What the stock launcher takes.
    """
    if not indices:
        return []
    settings = dict(parameters)
    jobs = submitit.AutoExecutor(
        folder=settings.pop("submitit_folder"),
        cluster=executor,
        **{f"{executor}_max_num_timeout": _MAX_NUM_TIMEOUT},
    )
    shared = BaseQueueConf.__dataclass_fields__
    jobs.update_parameters(
        **{name if name in shared else f"{executor}_{name}": value for name, value in settings.items()}
    )
    submitted = jobs.map_array(SubmittedRun(sweep.path, Path(manifest.working_folder)), list(indices))
    for index, job in zip(indices, submitted, strict=True):
        sweep.link_log(index, job.paths.stdout)
        if executor == "slurm":
            array, _, task = job.job_id.partition("_")
            sweep.record_submission([index], array, index - int(task) if task else None)
    if executor != "slurm":
        sweep.record_submission(indices)
    return submitted


def wait_for_jobs(jobs: Sequence[submitit.Job[None]], guard: PreemptionGuard) -> None:
    """Waits until jobs of this machine have ended; when a stop is requested, they are interrupted first."""
    stopping = False
    while not all(job.done() for job in jobs):
        if guard.wait(_POLL_S) and not stopping:
            stopping = True
            for job in jobs:
                job.cancel()


def _exit(requeue: Any, *, comes_back: bool) -> NoReturn:
    """Ends the process as submitit does, but without Python's shutdown, which a thread that compiles would crash."""
    code: Any = ExitCode.REQUEUE
    try:
        if comes_back:
            # Called as the signal's handler would be: it dumps what `checkpoint` returns, and asks for the requeue.
            requeue(signal.SIGUSR2, None)
    except SystemExit as requeued:
        code = requeued.code
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code & 0xFF)
