"""`simplexity doctor`: checks the cluster that a config chooses, and prints what it finds. No jax."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from simplexity.composition import plan_for_cluster
from simplexity.doctor import CheckResult, ReportPrinter, Severity, TestJob, check_cluster, summary_line
from simplexity.host import PreemptionGuard
from simplexity.runs import ExitCode


def doctor(
    overrides: Sequence[str], guard: PreemptionGuard, *, stopped_runs: Sequence[Path], with_job: bool, wait_s: float
) -> ExitCode:
    """Checks the cluster that the overrides choose, and prints what it finds.

    Args:
        overrides: Those of run_experiment: `cluster=NAME`, and what changes the run of the test job.
        guard: Installed; has whether a stop was requested.
        stopped_runs: Folders with runs that were stopped; without any, those that this folder's sweeps and runs are in.
        with_job: Whether to submit a test job.
        wait_s: Seconds that it may take.

    Returns:
        FAILED if there is a problem.

    Raises:
        ConfigError: If an override is wrong.
        ValueError: If a folder is wrong.
        RuntimeError: If a stop was requested.
    """
    plan = plan_for_cluster(overrides)
    for folder in stopped_runs:
        if not folder.is_dir():
            raise ValueError(f"`--runs`: there is no folder {folder}")
    job = TestJob(
        config_name=plan.config_name,
        config_text=plan.config_text,
        config_hash=plan.config_hash,
        num_train_steps=plan.num_train_steps,
        profile=plan.profile,
        folder=plan.sweeps_folder,
        wait_s=wait_s,
    )
    chosen = any(override.startswith("cluster=") for override in overrides)
    results: list[CheckResult] = []
    folders = stopped_runs or [plan.sweeps_folder, plan.runs_folder]
    with (
        ReportPrinter() as printer,
        # Closed, and the test job cancelled, however this block ends.
        closing(check_cluster(job, folders, guard, printer.show_progress, with_job=with_job)) as checks,
    ):
        printer.title(f"cluster={plan.profile_name}" + ("" if chosen else ", by default; cluster=NAME chooses another"))
        for result in checks:
            printer.show(result)
            results.append(result)
        printer.end(summary_line(results))
    return ExitCode.FAILED if any(result.severity == Severity.PROBLEM for result in results) else ExitCode.COMPLETE
