"""`simplexity doctor`: what a run that is submitted from here will meet, without jax."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from simplexity.composition import ConfigError, plan_for_cluster
from simplexity.doctor import Finding, FindingPrinter, Rehearsal, Severity, examine, summary_line
from simplexity.host import PreemptionGuard
from simplexity.runs import ExitCode


def doctor(
    overrides: Sequence[str], guard: PreemptionGuard, *, stopped_runs: Sequence[Path], with_job: bool, wait_s: float
) -> ExitCode:
    """Examines the cluster that the overrides choose, and prints what it finds.

    Args:
        overrides: As of run_experiment: `cluster=NAME`, and what changes the run of the test job.
        guard: Installed; asked whether to leave.
        stopped_runs: Folders with runs that were stopped; without any, those that this folder's sweeps and runs are in.
        with_job: Whether to submit a test job.
        wait_s: Seconds that it may take.

    Returns:
        FAILED if there is a problem.

    Raises:
        ValueError: If an override, or a folder, is wrong.
        RuntimeError: If somebody wants to leave.
    """
    try:
        plan = plan_for_cluster(overrides)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    for folder in stopped_runs:
        if not folder.is_dir():
            raise ValueError(f"`--runs`: there is no folder {folder}")
    rehearsal = Rehearsal(
        config_name=plan.config_name,
        config_text=plan.config_text,
        config_hash=plan.config_hash,
        num_train_steps=plan.num_train_steps,
        profile=plan.profile,
        folder=plan.sweeps_folder,
        wait_s=wait_s,
    )
    chosen = any(override.startswith("cluster=") for override in overrides)
    findings: list[Finding] = []
    folders = stopped_runs or [plan.sweeps_folder, plan.runs_folder]
    with (
        FindingPrinter() as printer,
        # Closed, and the test job cancelled, however this is left.
        closing(examine(rehearsal, folders, guard, printer.tell, with_job=with_job)) as examination,
    ):
        printer.title(f"cluster={plan.profile_name}" + ("" if chosen else ", by default; cluster=NAME chooses another"))
        for finding in examination:
            printer.show(finding)
            findings.append(finding)
        printer.end(summary_line(findings))
    return ExitCode.FAILED if any(found.severity == Severity.PROBLEM for found in findings) else ExitCode.COMPLETE
