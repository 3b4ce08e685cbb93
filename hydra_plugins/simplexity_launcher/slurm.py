"""A sweep as SLURM array jobs, which run without this process."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hydra.core.utils import JobReturn

from ._launcher import SweepLauncher


class SlurmLauncher(SweepLauncher):
    """Submits the runs, with settings named as submitit names them.

    Args:
        cluster: A cluster's profile, `cluster=NAME`: the fields of `simplexity.cluster.ClusterProfile`.
        name: What squeue shows.
        timeout_min: Time limit in minutes; None for the profile's. A run that needs longer is saved and requeued.
        array_parallelism: Array tasks at the same time; None for as many as the cluster gives.
        workers: Array tasks that execute the runs, each one run after the other, or several at a time where the profile
            has `tasks_per_gpu`; "auto" for as many as are allowed and worth it; None for one task per run.
        on_failure: Whether the others continue when a run fails, or stop: they are cancelled and save, and `simplexity
            retry` resumes them.
        pack: Runs of one program that a worker trains together; "auto" for one on a CPU and many on a GPU.
        wait: Whether to watch the sweep until it ends, or to exit once it is submitted.
        dry_run: Whether to print what would be submitted, and nothing else.
    """

    def __init__(
        self,
        cluster: Mapping[str, Any],
        name: str,
        timeout_min: int | None,
        array_parallelism: int | None,
        workers: int | Literal["auto"] | None,
        wait: bool,
        dry_run: bool,
        on_failure: Literal["continue", "stop"] = "continue",
        pack: int | Literal["auto"] = 1,
    ):
        self._cluster = cluster
        self._name = name
        self._timeout_min = timeout_min
        self._array_parallelism = array_parallelism
        self._workers: int | Literal["auto"] | None = workers
        self._on_failure: Literal["continue", "stop"] = on_failure
        self._pack: int | Literal["auto"] = pack
        self._wait = wait
        self._dry_run = dry_run

    def _check_settings(self) -> None:
        from simplexity.composition import ConfigError, Problem, config_errors_at
        from simplexity.sweeps import SlurmLaunch, require_slurm, task_command

        from ._slurm_batch import checked_image_digest, cluster_profile

        if self._searches() and not self._wait:
            message = "must be true for a search, whose next batch depends on the losses of the last"
            raise ConfigError([Problem("hydra.launcher.wait", message)])
        if not self._dry_run:
            require_slurm()
        profile = cluster_profile(self._cluster, self._timeout_min)
        with config_errors_at("hydra.launcher"):
            self._launch = SlurmLaunch(
                job_name=self._name,
                profile=profile,
                array_parallelism=self._array_parallelism,
                image_digest=checked_image_digest(profile),
                workers=self._workers,
                on_failure=self._on_failure,
                pack=self._pack,
            )
        with config_errors_at("hydra.sweep.dir"):
            task_command(profile, Path(self._config.hydra.runtime.cwd), self._sweep().path)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submits a batch, and follows it if it is to wait.

        Args:
            job_overrides: Overrides of each run.
            initial_job_idx: Index of the first.

        Returns:
            How each ended; nothing if it does not wait. If it waits for the only batch of a grid, it does not return.

        Raises:
            ConfigError: With every mistake in any run, before the first is submitted.
            RuntimeError: If SLURM refuses or does not answer.
            SystemExit: After a dry run, and after Ctrl-C while it waits, which does not stop the runs.
        """
        from simplexity.host import PreemptionGuard

        from ._batch import follow
        from ._registration import register
        from ._slurm_batch import become_watcher, print_dry_run, submit_batch

        sweep = self._sweep()
        # Ctrl-C between the first and the last sbatch would leave jobs that no file records.
        with PreemptionGuard() as guard:
            prepared = self._prepare(job_overrides, initial_job_idx, guard, self._launch.profile.num_processes)
            if self._dry_run:
                print_dry_run(sweep, self._config, self._launch, prepared)
                raise SystemExit(0)
            with sweep.lock():
                manifest = register(sweep, self._config, self._launch, prepared)
                submit_batch(sweep, manifest, prepared)
        if not self._wait:
            return []
        if self._config.hydra.sweeper.get("max_batch_size") is None and not self._searches():
            become_watcher(sweep)
        return follow(sweep, manifest, prepared)
