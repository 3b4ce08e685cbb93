import pytest

from simplexity.cluster._slurm_answers import (
    QualityOfService,
    leading_number,
    parse_duration,
    parse_nodes,
    parse_partitions,
    parse_qos,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10:00", 600), ("1:02:03", 3723), ("1-02:03:04", 93784), ("UNLIMITED", None), ("INVALID", None), ("", None)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


def test_leading_numbers():
    assert [leading_number(text, 7) for text in ("30 sec", "5", "N/A", "")] == [30, 5, 7, 7]


@pytest.mark.parametrize(
    ("state", "is_up"),
    [("idle", True), ("mixed", True), ("allocated", True), ("idle~", True), ("mixed-", True), ("completing", True),
     ("idle*", False), ("down*", False), ("down", False), ("drained", False), ("draining", False), ("unk*", False)],
)  # fmt: skip
def test_nodes_that_take_jobs(state, is_up):
    (node,) = parse_nodes(f"n1|low|{state}|gpu:a100:4(S:0-1)\n")
    assert (node.name, node.partition, node.gres, node.is_up) == ("n1", "low", "gpu:a100:4(S:0-1)", is_up)


def test_a_recorded_answer(recorded):
    answers = recorded("user_signal")
    assert len(answers.configuration) > 150
    assert answers.configuration["SlurmctldHost[0]"] == "vm(127.0.0.1)"
    assert answers.words("SchedulerParameters") == ("batch_sched_delay=0", "sched_interval=2", "bf_interval=2")
    assert answers.words("PreemptParameters") == answers.words("DependencyParameters") == ()
    assert (answers.number("KillWait", 1), answers.number("NoSuchThing", 1)) == (10, 1)
    assert sorted(answers.partitions) == ["high", "low"]
    assert [node.gres for node in answers.nodes] == [""] * 4


def test_partitions():
    partitions = parse_partitions("PartitionName=low GraceTime=20 TRES=cpu=8,mem=1G\nPartitionName=high GraceTime=0\n")
    assert partitions["low"] == {"PartitionName": "low", "GraceTime": "20", "TRES": "cpu=8,mem=1G"}
    assert partitions["high"]["GraceTime"] == "0"


def test_qos():
    assert parse_qos("normal||cluster|00:00:00\nhigh|low,normal|requeue|00:01:30\n") == {
        "normal": QualityOfService((), "cluster", 0),
        "high": QualityOfService(("low", "normal"), "requeue", 90),
    }
