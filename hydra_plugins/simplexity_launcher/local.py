"""A sweep by workers on this machine."""

import logging
import shlex
from collections.abc import Sequence
from typing import Literal

from hydra.core.utils import JobReturn

from ._launcher import SweepLauncher

_log = logging.getLogger(__name__)


class LocalLauncher(SweepLauncher):
    """Executes the runs here by workers, each on cores of its own, which execute one run after the other.

    Args:
        max_parallel: Runs at the same time; None for one per GPU, or without GPUs for one per `cores_per_run` cores.
        cores_per_run: Cores that each run is pinned to; None for an equal share if `max_parallel` or GPUs say how many
            runs there are, and otherwise for one.
        on_failure: Whether the others continue when a run fails, or stop: they save, and `simplexity retry` resumes
            them.
        pack: Runs of one program that a worker trains together; "auto" for one on a CPU and many on a GPU.
    """

    def __init__(
        self,
        max_parallel: int | None,
        cores_per_run: int | None,
        on_failure: Literal["continue", "stop"] = "continue",
        pack: int | Literal["auto"] = 1,
    ):
        self._max_parallel = max_parallel
        self._cores_per_run = cores_per_run
        self._on_failure: Literal["continue", "stop"] = on_failure
        self._pack: int | Literal["auto"] = pack

    def _check_settings(self) -> None:
        from simplexity.composition import config_errors_at
        from simplexity.sweeps import LocalLaunch

        with config_errors_at("hydra.launcher"):
            self._launch = LocalLaunch(
                max_parallel=self._max_parallel,
                cores_per_run=self._cores_per_run,
                on_failure=self._on_failure,
                pack=self._pack,
            )

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Executes a batch, and waits for it.

        Args:
            job_overrides: Overrides of each run.
            initial_job_idx: Index of the first.

        Returns:
            How each ended. A failed run stops the others only where `on_failure` says so.

        Raises:
            ConfigError: With every mistake in any run, before the first starts.
            SystemExit: If a stop was requested; the runs have saved.
        """
        from simplexity.host import PreemptionGuard
        from simplexity.runs import ExitCode, counted
        from simplexity.sweeps import (
            RunState,
            display_path,
            print_summary,
            read_status,
            run_locally,
            summary_lines,
        )

        from ._batch import job_returns
        from ._registration import register

        sweep = self._sweep()
        path = display_path(sweep.path)
        with PreemptionGuard(resume_command=f"simplexity retry {shlex.quote(path)}") as guard:
            prepared = self._prepare(job_overrides, initial_job_idx, guard)
            with sweep.lock():
                manifest = register(sweep, self._config, self._launch, prepared)
                if initial_job_idx == 0:
                    what = "the search" if self._searches() else counted(len(prepared), "run")
                    _log.info("started %s in %s", what, path)
                    _log.info("to watch from another terminal: simplexity status %s --watch", shlex.quote(path))
                outcomes = run_locally(sweep, manifest, self._launch, [one.run for one in prepared], guard)
        if guard.requested() and any(outcome.state == RunState.STOPPED for outcome in outcomes):
            print_summary(sweep, outcomes, stop_requested=True)
            raise SystemExit(ExitCode.REQUEUE)
        if not self._searches():
            for line in summary_lines(path, read_status(sweep)):
                _log.info("%s", line)
        return job_returns(sweep, manifest.program, outcomes)
