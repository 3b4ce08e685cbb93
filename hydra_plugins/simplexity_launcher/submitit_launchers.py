"""The launchers of hydra-submitit-launcher, kept to the promise of ours: what was preempted comes back and resumes.

They replace the stock ones under the same names and with the same settings, because users have configs for them. The
stock ones lose a run that is preempted: submitit takes the preemption of a job with a time limit of 10 minutes or less
for a time-out, and gives up; and its own handler ends the process while a checkpoint is being written.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from hydra.core.utils import JobReturn
from omegaconf import OmegaConf

from ._launcher import SweepLauncher


class SubmititLauncher(SweepLauncher):
    """Submits each run as a job of submitit, and follows the sweep until it ends.

    Args:
        max_num_timeout: Has no effect: the run's ledger limits the starts that make no progress.
        **parameters: What the stock launcher of the executor takes.
    """

    executor: ClassVar[str]
    """The name that submitit gives an executor."""

    def __init__(self, max_num_timeout: int | None = None, **parameters: Any):
        self._parameters = {
            name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for name, value in parameters.items()
        }

    def _check_settings(self) -> None:
        from simplexity.sweeps import SubmititLaunch

        # The other settings are checked by submitit.
        self._launch = SubmititLaunch(executor=self.executor)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submits those runs of a batch that are not complete, and waits until they have ended.

        Args:
            job_overrides: Overrides of each run.
            initial_job_idx: Index of the first.

        Returns:
            How each ended. A failed run does not stop the others.

        Raises:
            ConfigError: With every mistake in any run, before the first is submitted.
            RuntimeError: If SLURM refuses or does not answer.
            SystemExit: If a stop was requested, or Ctrl-C typed while it waits.
        """
        from simplexity.host import PreemptionGuard
        from simplexity.runs import ExitCode
        from simplexity.sweeps import require_slurm

        from ._batch import follow, idle_runs
        from ._registration import register
        from ._submitit_jobs import submit_jobs, wait_for_jobs

        sweep = self._sweep()
        with PreemptionGuard() as guard:
            if self.executor == "slurm":
                require_slurm()
            prepared = self._prepare(job_overrides, initial_job_idx, guard)
            with sweep.lock():
                manifest = register(sweep, self._config, self._launch, prepared)
                indices = idle_runs(sweep, prepared)
                jobs = submit_jobs(sweep, manifest, indices, self.executor, self._parameters)
                if self.executor == "local":
                    wait_for_jobs(jobs, guard)
                    if guard.requested():
                        raise SystemExit(ExitCode.REQUEUE)
        return follow(sweep, manifest, prepared)


class SubmititSlurmLauncher(SubmititLauncher):
    """Array jobs."""

    executor: ClassVar[str] = "slurm"


class SubmititLocalLauncher(SubmititLauncher):
    """Processes of this machine, all at a time."""

    executor: ClassVar[str] = "local"
