"""The examination of a cluster: what a run that is submitted from here will meet."""

import re
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from simplexity.cluster import ClusterProfile, SlurmAnswers, SlurmError, ask_slurm, slurm_is_installed, try_submission
from simplexity.host import PreemptionGuard
from simplexity.sweeps import SweepDirectory, duration, plan_arrays, require_slurm

from ._check_result import Finding, Severity, advice, ok, problem
from ._folder_checks import folder_finding
from ._image_checks import image_finding
from ._preemption_checks import interruption_findings, preemption_findings
from ._preemption_rules import PreemptionRules, preemption_rules
from ._stop_times import Stop, lead_finding, notice_finding, read_stops
from ._submission_checks import accounting_finding, array_finding, partition_findings, partition_names, refusal_finding
from ._test_job import rehearse
from ._test_job_settings import Rehearsal


def examine(
    rehearsal: Rehearsal,
    stopped_runs: Sequence[Path],
    guard: PreemptionGuard,
    tell: Callable[[str], object],
    *,
    with_job: bool,
) -> Generator[Finding, None, None]:
    """Everything that can be found out, in the order in which a run meets it.

    Args:
        rehearsal: The test job, whose profile and folder are examined.
        stopped_runs: Folders whose runs' ledgers tell how long stops took.
        guard: Installed; asked whether to leave.
        tell: Is told what is being waited for; nothing, once that is over.
        with_job: Whether to submit the test job.

    Raises:
        RuntimeError: If somebody wants to leave.
    """
    profile = rehearsal.profile
    tell("asking SLURM")
    try:
        require_slurm()
        answers = ask_slurm()
    except SlurmError as error:
        answers = None
        yield _no_slurm(error)
        with_job = False
    else:
        request = _request_finding(rehearsal)
        with_job = with_job and request.severity == Severity.OK
        yield from _slurm_findings(answers, profile, request)
    tell("trying out folders")
    folder = folder_finding("folder", rehearsal.folder, "hydra.sweep.dir")
    yield folder
    if profile.cache_folder is not None:
        yield folder_finding("cache folder", Path(profile.cache_folder).absolute(), "cache_folder")
    image = image_finding(profile.container, sys.executable, Path.cwd())
    yield image
    tell("reading ledgers")
    stops: list[Stop] = []
    try:
        stops += read_stops(stopped_runs)
    except RuntimeError as error:
        yield advice("ledgers", str(error), "How long its runs took to stop is not known.", "name others: --runs DIR")
    if with_job and Severity.PROBLEM not in (folder.severity, image.severity):
        yield from rehearse(rehearsal, guard, tell, stops)
    tell("")
    if answers is not None:
        yield from filter(None, (notice_finding(rules, stops) for rules in _rules(answers, profile)))
    yield lead_finding(profile, stops)


def _no_slurm(error: SlurmError) -> Finding:
    if not slurm_is_installed():
        return problem(
            "SLURM", "there is no `sbatch` here", "No job can be submitted from this machine.",
            "log in where SLURM's programs are; try it out on a throwaway cluster (slurm/dev-cluster up); see the "
            "batch script with hydra.launcher.dry_run=true; or run sweeps here with hydra/launcher=local",
        )  # fmt: skip
    if "configuration source" in str(error):
        return problem(
            "SLURM", "its programs are here, but there is no slurm.conf", "No cluster is known to submit to.",
            'set SLURM_CONF, or start a throwaway cluster: eval "$(slurm/dev-cluster up)"; without one: '
            "hydra.launcher.dry_run=true, or hydra/launcher=local",
        )  # fmt: skip
    return problem(
        "SLURM", str(error),
        "Nothing can be submitted. Jobs that run go on, and `simplexity status` reads their files.",
        "ask `scontrol ping`, and see that SLURM_CONF is right; to work without it: slurm/dev-cluster up, "
        "hydra.launcher.dry_run=true, or hydra/launcher=local",
    )  # fmt: skip


def _slurm_findings(answers: SlurmAnswers, profile: ClusterProfile, request: Finding) -> Iterator[Finding]:
    configuration = answers.configuration
    version, name = configuration.get("SLURM_VERSION", "?"), configuration.get("ClusterName", "?")
    yield ok("SLURM", f"version {version}, cluster `{name}`", "The controller answers.")
    yield from partition_findings(answers, profile)
    yield request
    for partition in _known_partitions(answers, profile):
        yield from preemption_findings(answers, profile, partition)
    yield from interruption_findings(answers, profile)
    yield array_finding(answers)
    yield accounting_finding(answers)


def _request_finding(rehearsal: Rehearsal) -> Finding:
    """Asks SLURM whether it would take a job of the profile as it is, and when it would start."""
    sweep = SweepDirectory(rehearsal.folder)
    (job,) = plan_arrays(sweep, rehearsal.manifest(rehearsal.profile), [0])
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "request.sh"
        script.write_text(job.script, encoding="utf-8")
        try:
            answer = try_submission(script)
        except SlurmError as error:
            return refusal_finding(str(error), rehearsal.profile)
    return ok("request", f"sbatch would take a job of this profile{_start(answer)}", "The resources exist.")


def _start(answer: str) -> str:
    """When a job would start, from sbatch's "Job 3 to start at 2026-11-24T22:20:29 using 1 processors..."."""
    found = re.search(r" to start at (\S+) ", answer)
    if found is None:
        return ""
    with suppress(ValueError):
        wait_s = (datetime.fromisoformat(found[1]) - datetime.now()).total_seconds()
        return ", and start it now" if wait_s < 60 else f", and start it in about {duration(wait_s)}"
    return ""


def _known_partitions(answers: SlurmAnswers, profile: ClusterProfile) -> list[str]:
    return [name for name in partition_names(answers, profile) if name in answers.partitions]


def _rules(answers: SlurmAnswers, profile: ClusterProfile) -> Iterator[PreemptionRules]:
    for partition in _known_partitions(answers, profile):
        with suppress(ValueError):  # of an unknown QOS; `preemption_findings` has told
            yield preemption_rules(answers, partition, profile.qos)
