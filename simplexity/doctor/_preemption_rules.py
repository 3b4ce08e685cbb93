"""What a preemption does to a job of a partition: who preempts, how, and how long the job has."""

from typing import Literal, NamedTuple

from simplexity.cluster import SlurmAnswers, parse_duration

Mode = Literal["OFF", "REQUEUE", "CANCEL", "SUSPEND"]
_MODES: tuple[Mode, ...] = ("OFF", "REQUEUE", "CANCEL", "SUSPEND")
# Two spellings: PreemptParameters are newer.
_USER_SIGNAL = {"SlurmctldParameters": "preempt_send_user_signal", "PreemptParameters": "send_user_signal"}


class PreemptionRules(NamedTuple):
    """What happens to a preempted job.

    Attributes:
        mode: What SLURM does with it; OFF if it is never preempted.
        source: Where SLURM has that from, in its own words, such as "PreemptMode=REQUEUE".
        preempted_by: Whose jobs take its place, in words; empty if no jobs do.
        grace_time_s: Seconds between the notice and the end.
        kill_wait_s: Further seconds between SIGTERM and SIGKILL.
        user_signal: Which setting makes the notice the signal of --signal; empty if it is SIGTERM.
        exempt_s: Seconds after its start in which it is spared.
    """

    mode: Mode
    source: str
    preempted_by: str
    grace_time_s: int
    kill_wait_s: int
    user_signal: str
    exempt_s: int

    @property
    def notice_s(self) -> int:
        """Seconds from the first signal until nothing of the job runs any more."""
        return self.grace_time_s + self.kill_wait_s


def preemption_rules(answers: SlurmAnswers, partition: str, qos: str | None) -> PreemptionRules:
    """The rules for jobs of a partition that the cluster has, and of a QOS, or of the cluster's usual one.

    Raises:
        ValueError: If the rules are those of a QOS that the accounting database does not have.
    """
    kind = answers.configuration.get("PreemptType", "").removeprefix("preempt/")
    if kind == "qos":
        mode, source, preempted_by, grace_s = _by_qos(answers, partition, qos)
    elif kind == "partition_prio":
        mode, source, preempted_by, grace_s = _by_partition(answers, partition)
    else:
        mode, source, preempted_by, grace_s = "OFF", f"PreemptType={kind or 'none'}", "", 0
    return PreemptionRules(
        mode=mode if preempted_by else "OFF",
        source=source,
        preempted_by=preempted_by,
        grace_time_s=grace_s,
        kill_wait_s=answers.number("KillWait", 30),
        user_signal=_user_signal(answers),
        exempt_s=parse_duration(answers.configuration.get("PreemptExemptTime", "")) or 0,
    )


def _by_partition(answers: SlurmAnswers, partition: str) -> tuple[Mode, str, str, int]:
    entry = answers.partitions[partition]
    tier = int(entry.get("PriorityTier", "1"))
    ours = {node.name for node in answers.nodes if node.partition == partition}
    sharing = {node.partition for node in answers.nodes if node.name in ours}
    above = [name for name in sorted(sharing) if int(answers.partitions[name].get("PriorityTier", "1")) > tier]
    # scontrol shows the cluster's mode for a partition that has none of its own.
    word = entry.get("PreemptMode", "OFF")
    names = ", ".join(f"`{name}`" for name in above)
    return _mode(word), f"PreemptMode={word}", f"jobs in {names}" if above else "", int(entry.get("GraceTime", "0"))


def _by_qos(answers: SlurmAnswers, partition: str, qos: str | None) -> tuple[Mode, str, str, int]:
    of_partition = answers.partitions[partition].get("QoS", "N/A")
    name = qos or (of_partition if of_partition != "N/A" else "normal")
    if answers.qos is None or name not in answers.qos:
        raise ValueError(f"the accounting database does not tell about the QOS `{name}`")
    entry = answers.qos[name]
    word = answers.configuration.get("PreemptMode", "OFF") if entry.mode == "cluster" else entry.mode
    above = [f"`{other}`" for other, its in answers.qos.items() if name in its.preempts]
    preempted_by = f"jobs of the QOS {', '.join(above)}" if above else ""
    return _mode(word), f"PreemptMode={word.upper()} of the QOS `{name}`", preempted_by, entry.grace_time_s


def _mode(word: str) -> Mode:
    """The mode in a setting such as GANG,SUSPEND or REQUEUE,WITHIN."""
    words = word.upper().split(",")
    for mode in _MODES:
        if mode in words:
            return mode
    return "OFF"


def _user_signal(answers: SlurmAnswers) -> str:
    return next((f"{name}={word}" for name, word in _USER_SIGNAL.items() if word in answers.words(name)), "")
