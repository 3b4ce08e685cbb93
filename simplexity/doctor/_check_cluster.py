"""All checks of a cluster, in the order in which a run that is submitted from here meets what they are about."""

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from simplexity.cluster import ClusterProfile, SlurmAnswers, SlurmError, ask_slurm
from simplexity.host import PreemptionGuard
from simplexity.sweeps import SweepDirectory, require_slurm

from ._check_result import CheckResult, Severity, ok
from ._folder_checks import check_folder
from ._image_checks import check_image
from ._preemption_checks import check_interruptions, check_preemption
from ._preemption_rules import PreemptionRules, preemption_rules
from ._stop_times import check_save_time, check_signal_lead, read_stops
from ._submission_checks import (
    check_accounting,
    check_arrays,
    check_partitions,
    check_request,
    partition_names,
    slurm_is_missing,
)
from ._test_job import TestJob, run_test_job


def check_cluster(
    job: TestJob,
    stopped_runs: Sequence[Path],
    guard: PreemptionGuard,
    show_progress: Callable[[str], object],
    *,
    with_job: bool,
) -> Generator[CheckResult, None, None]:
    """Everything that can be found out, in the order in which a run meets it.

    Args:
        job: The test job, whose profile and folder are checked.
        stopped_runs: Folders whose runs' ledgers have how long stops took.
        guard: Installed; has whether a stop was requested.
        show_progress: Shows what is being waited for; nothing, once that is over.
        with_job: Whether to submit the test job.

    Raises:
        RuntimeError: If a stop was requested.
    """
    profile = job.profile
    show_progress("asking SLURM")
    try:
        require_slurm()
        answers = ask_slurm()
    except SlurmError as error:
        answers = None
        yield slurm_is_missing(error)
        with_job = False
    else:
        request = check_request(SweepDirectory(job.folder), job.manifest(profile), profile)
        with_job = with_job and request.severity == Severity.OK
        yield from _judge_answers(answers, profile, request)
    show_progress("trying out folders")
    folder = check_folder("folder", job.folder, "hydra.sweep.dir")
    yield folder
    if profile.cache_folder is not None:
        yield check_folder("cache folder", Path(profile.cache_folder).absolute(), "cache_folder")
    image = check_image(profile.container, sys.executable, Path.cwd())
    yield image
    show_progress("reading ledgers")
    stops = read_stops(stopped_runs)
    if with_job and Severity.PROBLEM not in (folder.severity, image.severity):
        yield from run_test_job(job, guard, show_progress, stops)
    show_progress("")
    if answers is not None:
        yield from filter(None, (check_save_time(rules, stops) for rules in _rules(answers, profile)))
    yield check_signal_lead(profile, stops)


def _judge_answers(answers: SlurmAnswers, profile: ClusterProfile, request: CheckResult) -> Iterator[CheckResult]:
    configuration = answers.configuration
    version, name = configuration.get("SLURM_VERSION", "?"), configuration.get("ClusterName", "?")
    yield ok("SLURM", f"version {version}, cluster `{name}`", "The controller answers.")
    yield from check_partitions(answers, profile)
    yield request
    for partition in _known_partitions(answers, profile):
        yield from check_preemption(answers, profile, partition)
    yield from check_interruptions(answers, profile)
    yield check_arrays(answers)
    yield check_accounting(answers)


def _known_partitions(answers: SlurmAnswers, profile: ClusterProfile) -> list[str]:
    return [name for name in partition_names(answers, profile) if name in answers.partitions]


def _rules(answers: SlurmAnswers, profile: ClusterProfile) -> Iterator[PreemptionRules]:
    for partition in _known_partitions(answers, profile):
        with suppress(ValueError):  # of an unknown QOS; `check_preemption` has reported it
            yield preemption_rules(answers, partition, profile.qos)
