"""What a preemption will do, by the recorded answers of real SLURMs."""

import pytest

from simplexity.doctor import Severity
from simplexity.doctor._preemption_checks import check_interruptions, check_preemption, requeue_delay_s
from simplexity.doctor._preemption_rules import preemption_rules

SIGNAL = "SlurmctldParameters=preempt_send_user_signal"


@pytest.mark.parametrize(
    ("recording", "partition", "qos", "rules"),
    [
        ("user_signal", "low", None, ("REQUEUE", "jobs in `high`", 20, 10, SIGNAL)),
        ("user_signal", "high", None, ("OFF", "", 0, 10, SIGNAL)),
        ("no_user_signal", "low", None, ("REQUEUE", "jobs in `high`", 20, 10, "")),
        ("accounting", "low", None, ("REQUEUE", "jobs in `high`", 20, 10, SIGNAL)),
        ("cancel", "low", None, ("CANCEL", "jobs in `high`", 20, 10, SIGNAL)),
        ("no_grace", "low", None, ("REQUEUE", "jobs in `high`", 0, 30, "")),
        ("suspend", "low", None, ("SUSPEND", "jobs in `high`", 0, 30, "")),
        ("never_preempted", "low", None, ("OFF", "", 0, 30, "")),
        ("qos", "low", "low", ("REQUEUE", "jobs of the QOS `high`", 30, 10, SIGNAL)),
        ("qos", "low", None, ("CANCEL", "jobs of the QOS `high`", 0, 10, SIGNAL)),
        ("qos", "low", "high", ("OFF", "", 0, 10, SIGNAL)),
    ],
)
def test_rules(recorded, recording, partition, qos, rules):
    found = preemption_rules(recorded(recording), partition, qos)
    assert (found.mode, found.preempted_by, found.grace_time_s, found.kill_wait_s, found.user_signal) == rules
    assert found.notice_s == rules[2] + rules[3]


def test_the_newer_spelling_of_the_user_signal(recorded):
    answers = recorded("no_user_signal", PreemptParameters="youngest_first,send_user_signal")
    assert preemption_rules(answers, "low", None).user_signal == "PreemptParameters=send_user_signal"


def test_partitions_on_other_nodes_do_not_preempt(recorded):
    answers = recorded("user_signal")
    apart = answers._replace(nodes=tuple(n for n in answers.nodes if (n.name == "n1") == (n.partition == "low")))
    assert preemption_rules(apart, "low", None).mode == "OFF"


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        ("user_signal", ["resumes where it saved", "SIGUSR2 at once, SIGTERM after 20 s", "after about 6 s"]),
        ("no_user_signal", ["resumes where it saved", "SIGTERM at once, SIGTERM after 20 s", "after about 6 s"]),
        ("cancel", ["asks for a requeue as soon as", "it has 30 s to save", "after about 6 s"]),
        ("no_grace", ["resumes where it saved", "killed 30 s later", "outranks JobRequeue=0"]),
        ("suspend", ["SLURM freezes the run"]),
        ("never_preempted", ["only the time limit"]),
    ],
)
def test_what_they_mean(recorded, profile, recording, expected):
    results = list(check_preemption(recorded(recording), profile(), "low"))
    for result, words in zip(results, expected, strict=True):
        assert words in result.meaning
    assert [f.topic for f in results if f.severity != Severity.OK] == ["notice"] * (recording == "no_grace")


def test_no_grace_time_has_a_remedy(recorded, profile):
    notice = list(check_preemption(recorded("no_grace"), profile(), "low"))[1]
    assert notice.found == "GraceTime=0 s, KillWait=30 s"
    assert "save_every_minutes" in notice.change


def test_time_that_is_spared_is_reported(recorded, profile):
    result = next(check_preemption(recorded("user_signal", PreemptExemptTime="00:05:00"), profile(), "low"))
    assert "spared in its first 300 s" in result.meaning


def test_a_qos_that_is_not_in_the_answers_is_asked_for(recorded, profile):
    (result,) = check_preemption(recorded("qos"), profile(qos="nope"), "low")
    assert result.severity == Severity.ADVICE
    assert "does not tell about the QOS `nope`" in result.meaning
    (result,) = check_preemption(recorded("qos")._replace(qos=None), profile(), "low")
    assert "`normal`" in result.meaning


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"AuthInfo": "(null)"}, 121),
        ({"AuthInfo": "socket=/x,cred_expire=5"}, 6),
        ({"AuthInfo": "(null)", "SchedulerParameters": "bf_interval=2,requeue_delay=30"}, 30),
    ],
)
def test_the_wait_before_a_requeued_job_starts(recorded, settings, seconds):
    assert requeue_delay_s(recorded("user_signal", **settings)) == seconds


@pytest.mark.parametrize(
    ("settings", "topic", "severity", "words"),
    [
        ({}, "time limit", Severity.OK, "SIGUSR2 60 to 120 s before the limit"),
        ({"SlurmdTimeout": "300 sec"}, "node failure", Severity.OK, "since the last checkpoint"),
        ({}, "signals", Severity.OK, "may arrive twice"),
        ({"ProctrackType": "proctrack/cgroup"}, "signals", Severity.OK, "that is the run itself"),
        ({"ProctrackType": "proctrack/pgid"}, "signals", Severity.ADVICE, "outlives its job"),
        ({"RequeueExitHold": "80-90"}, "requeue", Severity.PROBLEM, "holds jobs that end so"),
    ],
)
def test_other_interruptions(recorded, profile, settings, topic, severity, words):
    results = list(check_interruptions(recorded("user_signal", **settings), profile()))
    (result,) = [result for result in results if result.topic == topic]
    assert result.severity == severity
    assert words in result.meaning
    assert bool(result.change) == (severity != Severity.OK)


def test_a_limit_that_the_signal_uses_up(recorded, profile):
    result = next(check_interruptions(recorded("user_signal"), profile(time_limit_minutes=2, signal_lead_s=60)))
    assert (result.severity, result.topic) == (Severity.PROBLEM, "time limit")
    assert "set `time_limit_minutes` to 3 at the least" in result.change
    result = next(check_interruptions(recorded("user_signal"), profile(time_limit_minutes=3, signal_lead_s=60)))
    assert result.severity == Severity.OK


def test_other_exit_codes_may_be_held(recorded, profile):
    results = check_interruptions(recorded("user_signal", RequeueExitHold="86,1-9,SPECIAL"), profile())
    assert "requeue" not in [result.topic for result in results]
