"""What ends a run before it is complete, and what becomes of it: preemption, time limit, node failure."""

from collections.abc import Iterator

from simplexity.cluster import ClusterProfile, SlurmAnswers, leading_number

from ._check_result import CheckResult, advice, ok, problem
from ._preemption_rules import PreemptionRules, preemption_rules

# The resolution of SLURM's own clock, by the manual of sbatch.
_EARLY_S = 60
_REQUEUE_DELAY_S = 120
# As in requeue.sh.
_REQUEUE_ME = 85


def check_preemption(answers: SlurmAnswers, profile: ClusterProfile, partition: str) -> Iterator[CheckResult]:
    """What a preemption in a partition does to a run that was submitted with the profile."""
    try:
        rules = preemption_rules(answers, partition, profile.qos)
    except ValueError as error:
        yield advice(
            "preemption", "PreemptType=preempt/qos",
            f"The QOS decides who is preempted, and {error}.",
            "name it in the profile (`qos`); sacctmgr show qos format=Name,Preempt,PreemptMode,GraceTime lists them",
        )  # fmt: skip
        return
    yield _mode(rules, partition)
    if rules.mode in ("REQUEUE", "CANCEL"):
        yield _notice(rules)
        yield _requeue(answers)


def check_interruptions(answers: SlurmAnswers, profile: ClusterProfile) -> Iterator[CheckResult]:
    """What the other ends of a job do, and how its signals arrive."""
    yield _time_limit(answers, profile)
    timeout_s = answers.number("SlurmdTimeout", 300)
    lost = "its work since the last checkpoint (`persistence.instance.save_every_minutes`) is done again"
    yield ok(
        "node failure", f"SlurmdTimeout={timeout_s} s",
        f"A node that dies is noticed after that long. SLURM then requeues the run; {lost}.",
    )  # fmt: skip
    yield _tracking(answers)
    held = [word for word in answers.words("RequeueExitHold") if _covers(word, _REQUEUE_ME)]
    if held:
        yield problem(
            "requeue", f"RequeueExitHold={','.join(held)}",
            f"A run exits with {_REQUEUE_ME} to be requeued, and this cluster holds jobs that end so.",
            f"ask the site to take {_REQUEUE_ME} out of RequeueExitHold; until then: scontrol release JOB",
        )  # fmt: skip


def _time_limit(answers: SlurmAnswers, profile: ClusterProfile) -> CheckResult:
    minutes, lead_s = profile.time_limit_minutes, profile.signal_lead_s
    found = f"time_limit_minutes={minutes}, signal_lead_s={lead_s}, KillWait={answers.number('KillWait', 30)} s"
    earliest_s = lead_s + _EARLY_S
    if earliest_s >= 60 * minutes:
        return problem(
            "time limit", found,
            f"SLURM may send the signal {_EARLY_S} s early: a run would be told to save as soon as it begins.",
            f"set `time_limit_minutes` to {earliest_s // 60 + 1} at the least, and better to many times that",
        )  # fmt: skip
    return ok(
        "time limit", found,
        f"A run that needs longer gets SIGUSR2 {lead_s} to {earliest_s} s before the limit, saves and is requeued.",
    )  # fmt: skip


def _mode(rules: PreemptionRules, partition: str) -> CheckResult:
    if rules.mode == "OFF":
        return ok(
            "preemption", f"none in `{partition}` ({rules.source})",
            "No job takes a run's place: only the time limit, a node failure or scancel end it.",
        )  # fmt: skip
    found = f"{rules.preempted_by} preempt those in `{partition}` ({rules.source})"
    spared = f" It is spared in its first {rules.exempt_s} s." if rules.exempt_s else ""
    if rules.mode == "SUSPEND":
        meaning = "SLURM freezes the run and continues it later. Nothing is lost; its GPU memory stays taken."
    elif rules.mode == "REQUEUE":
        meaning = "SLURM puts the run back into the queue under the same job id, and it resumes where it saved."
    else:
        meaning = (
            "SLURM would cancel the run for good. Its batch script therefore asks for a requeue as soon as the run has "
            "saved, and submits it anew where that is refused."
        )
    return ok("preemption", found[0].upper() + found[1:], meaning + spared)


def _notice(rules: PreemptionRules) -> CheckResult:
    found = f"GraceTime={rules.grace_time_s} s, KillWait={rules.kill_wait_s} s"
    if rules.grace_time_s == 0:
        return advice(
            "notice", found,
            f"A preempted run gets SIGTERM and is killed {rules.kill_wait_s} s later; what it has not saved by "
            "then, it does again.",
            "ask the site for a GraceTime; until then save often (`persistence.instance.save_every_minutes`)",
        )  # fmt: skip
    if rules.user_signal:
        signal, found = "SIGUSR2", f"{found}, {rules.user_signal}"
    else:
        signal, found = "SIGTERM", f"{found}, no send_user_signal"
    return ok(
        "notice", found,
        f"A preempted run gets {signal} at once, SIGTERM after {rules.grace_time_s} s, and is killed "
        f"{rules.kill_wait_s} s later: it has {rules.notice_s} s to save.",
    )  # fmt: skip


def _requeue(answers: SlurmAnswers) -> CheckResult:
    allowed = answers.number("JobRequeue", 1)
    delay_s = requeue_delay_s(answers)
    default = "" if allowed else " The batch scripts ask for it by --requeue, which outranks JobRequeue=0."
    return ok(
        "requeue", f"JobRequeue={allowed}, a wait of about {delay_s} s",
        f"A requeued run may start again after about {delay_s} s, when a node is free.{default}",
    )  # fmt: skip


def requeue_delay_s(answers: SlurmAnswers) -> int:
    """Seconds that SLURM lets pass before a requeued job may start."""
    for word in answers.words("SchedulerParameters"):
        if word.startswith("requeue_delay="):
            return leading_number(word.partition("=")[2], _REQUEUE_DELAY_S)
    # Older versions wait until the job's last credential has run out.
    for word in answers.words("AuthInfo"):
        if word.startswith("cred_expire="):
            return leading_number(word.partition("=")[2], _REQUEUE_DELAY_S) + 1
    return _REQUEUE_DELAY_S + 1


def _tracking(answers: SlurmAnswers) -> CheckResult:
    kind = answers.configuration.get("ProctrackType", "").removeprefix("proctrack/")
    found = f"ProctrackType={kind or 'unknown'}"
    if kind == "cgroup":
        return ok("signals", found, "Signals reach the process that srun starts, and that is the run itself.")
    if kind == "pgid":
        return advice(
            "signals", found, "A process that leaves its group outlives its job, and keeps its GPU memory.",
            "ask the site for proctrack/cgroup; runs of simplexity leave no such process behind",
        )  # fmt: skip
    return ok("signals", found, "A signal may arrive twice, which a run takes for one.")


def _covers(word: str, code: int) -> bool:
    """Whether an exit code is in a range such as "80-90"."""
    first, _, last = word.partition("-")
    return first.isdecimal() and int(first) <= code <= int(last if last.isdecimal() else first)
