import pytest

from simplexity.doctor import Severity, accounting_finding, array_finding, partition_findings, partition_names


def with_partition(answers, **changes):
    partitions = {**answers.partitions, "low": {**answers.partitions["low"], **changes}}
    return answers._replace(partitions=partitions)


def test_the_default_partition_and_several(recorded, profile):
    answers = recorded("user_signal")
    assert partition_names(answers, profile(partition=None)) == ["low"]
    assert partition_names(answers, profile(partition="high,nope")) == ["high", "nope"]
    found = list(partition_findings(answers, profile(partition="high,nope")))
    assert [finding.severity for finding in found] == [Severity.OK, Severity.PROBLEM]
    assert found[1].found == "the cluster has no `nope`"
    assert found[1].change == "set `partition` to one of low, high"


def test_no_default_partition(recorded, profile):
    (finding,) = partition_findings(with_partition(recorded("user_signal"), Default="NO"), profile(partition=None))
    assert finding.severity == Severity.PROBLEM


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
    (finding,) = partition_findings(with_partition(recorded("user_signal"), **partition), profile(**changes))
    assert finding.severity == severity
    assert words in f"{finding.found} {finding.meaning} {finding.change}"


def test_nodes_that_are_down_and_gpus_are_told(recorded, profile):
    answers = recorded("user_signal")
    nodes = [node._replace(state="down*" if node.name == "n1" else "idle", gres="gpu:a100:4") for node in answers.nodes]
    (finding,) = partition_findings(answers._replace(nodes=tuple(nodes)), profile(gpus_per_node=1))
    assert finding.found == "`low`: 1 of 2 nodes up, MaxTime=UNLIMITED, gpu:a100:4"
    assert finding.severity == Severity.OK


def test_arrays(recorded):
    finding = array_finding(recorded("user_signal"))
    assert (finding.severity, finding.found) == (Severity.OK, "MaxArraySize=1001, MaxJobCount=10000")
    finding = array_finding(recorded("no_grace"))
    assert finding.severity == Severity.PROBLEM
    assert "sbatch slurm/run.sh" in finding.change


def test_accounting(recorded):
    assert accounting_finding(recorded("accounting")).found == "AccountingStorageType=slurmdbd"
    without = accounting_finding(recorded("user_signal"))
    assert (without.severity, without.found) == (Severity.OK, "AccountingStorageType=none, MinJobAge=300 s")
