from datetime import datetime, timedelta

import pytest

from simplexity.cluster import SlurmError
from simplexity.doctor import Severity
from simplexity.doctor._submission_checks import (
    _start,
    check_accounting,
    check_arrays,
    check_partitions,
    partition_names,
    slurm_is_missing,
)


def with_partition(answers, **changes):
    partitions = {**answers.partitions, "low": {**answers.partitions["low"], **changes}}
    return answers._replace(partitions=partitions)


def test_the_default_partition_and_several(recorded, profile):
    answers = recorded("user_signal")
    assert partition_names(answers, profile(partition=None)) == ["low"]
    assert partition_names(answers, profile(partition="high,nope")) == ["high", "nope"]
    found = list(check_partitions(answers, profile(partition="high,nope")))
    assert [result.severity for result in found] == [Severity.OK, Severity.PROBLEM]
    assert found[1].found == "the cluster has no `nope`"
    assert found[1].change == "set `partition` to one of low, high"


def test_no_default_partition(recorded, profile):
    (result,) = check_partitions(with_partition(recorded("user_signal"), Default="NO"), profile(partition=None))
    assert result.severity == Severity.PROBLEM


@pytest.mark.parametrize(
    ("partition", "changes", "severity", "words"),
    [
        ({}, {}, Severity.OK, "`low`: 2 of 2 nodes up, MaxTime=UNLIMITED"),
        ({"MaxTime": "00:30:00"}, {}, Severity.PROBLEM, "set `time_limit_minutes` to 30 or less"),
        ({"MaxTime": "01:00:00"}, {}, Severity.OK, "MaxTime=01:00:00"),
        ({"State": "DOWN"}, {}, Severity.PROBLEM, "State=DOWN"),
        ({}, {"gpus_per_node": 1}, Severity.PROBLEM, "no node here has one"),
        ({}, {"gres": "gpu:a100:1"}, Severity.PROBLEM, "no node here has one"),
    ],
)
def test_whether_a_partition_takes_the_jobs(recorded, profile, partition, changes, severity, words):
    (result,) = check_partitions(with_partition(recorded("user_signal"), **partition), profile(**changes))
    assert result.severity == severity
    assert words in f"{result.found} {result.meaning} {result.change}"


def test_nodes_that_are_down_and_gpus_are_reported(recorded, profile):
    answers = recorded("user_signal")
    nodes = [node._replace(state="down*" if node.name == "n1" else "idle", gres="gpu:a100:4") for node in answers.nodes]
    (result,) = check_partitions(answers._replace(nodes=tuple(nodes)), profile(gpus_per_node=1))
    assert result.found == "`low`: 1 of 2 nodes up, MaxTime=UNLIMITED, gpu:a100:4"
    assert result.severity == Severity.OK


def test_arrays(recorded):
    result = check_arrays(recorded("user_signal"))
    assert (result.severity, result.found) == (Severity.OK, "MaxArraySize=1001, MaxJobCount=10000")
    result = check_arrays(recorded("no_grace"))
    assert result.severity == Severity.PROBLEM
    assert "sbatch slurm/run.sh" in result.change


def test_accounting(recorded):
    assert check_accounting(recorded("accounting")).found == "AccountingStorageType=slurmdbd"
    without = check_accounting(recorded("user_signal"))
    assert (without.severity, without.found) == (Severity.OK, "AccountingStorageType=none, MinJobAge=300 s")


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (timedelta(seconds=1), ", and start it now"),
        (timedelta(hours=2, seconds=5), ", and start it in about 2 h"),
        (timedelta(days=3, seconds=5), ", and start it in about 3 d"),
    ],
)
def test_when_a_job_would_start(wait, text):
    when = (datetime.now() + wait).isoformat(timespec="seconds")
    assert _start(f"sbatch: Job 3 to start at {when} using 1 processors on nodes n1 in partition low") == text


def test_answers_without_a_time():
    assert _start("sbatch: fine") == _start("sbatch: Job 3 to start at Unknown using 1 processors") == ""


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ("`scontrol` failed: Unable to contact slurm controller", "`scontrol` failed: Unable to contact"),
        ("`scontrol` failed: Could not establish a configuration source", "there is no slurm.conf"),
    ],
)
def test_a_slurm_that_does_not_answer(monkeypatch, error, found):
    monkeypatch.setattr("simplexity.doctor._submission_checks.slurm_is_installed", lambda: True)
    result = slurm_is_missing(SlurmError(error))
    assert found in result.found
    for remedy in ("slurm/dev-cluster up", "hydra.launcher.dry_run=true", "hydra/launcher=local"):
        assert remedy in result.change
