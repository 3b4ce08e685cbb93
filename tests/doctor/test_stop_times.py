import pytest

from simplexity.doctor import Severity
from simplexity.doctor._preemption_rules import PreemptionRules
from simplexity.doctor._stop_times import Stop, check_save_time, check_signal_lead, proposed_lead_s, read_stops
from simplexity.runs import EventKind, Ledger, RunDirectory

RULES = PreemptionRules("REQUEUE", "PreemptMode=REQUEUE", "jobs in `high`", 20, 10, "", 0)


@pytest.fixture
def run(tmp_path):
    def make(name: str, *stops: float | None) -> None:
        ledger = Ledger(RunDirectory.create(tmp_path / name).ledger_path)
        for seconds in stops:
            ledger.append(EventKind.START, 0)
            ledger.append(EventKind.PREEMPTED, 5, reason="SIGUSR2", stopping_s=seconds)

    return make


def test_stops_are_read_from_every_ledger_beneath(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("multirun/2026-11-24/22-00-00/0", 1.5, None, 0.5)
    run("multirun/2026-11-24/22-00-00/0/checkpoints/5/not looked at", 99.0)
    run("multirun/2026-11-24/22-00-00/1", None)
    run("outputs/a", 2.5)
    stops = read_stops([tmp_path / "multirun", tmp_path / "outputs", tmp_path / "nowhere"])
    sweep = "multirun/2026-11-24/22-00-00"
    assert sorted(stops) == [Stop(0.5, f"{sweep}/0"), Stop(1.5, f"{sweep}/0"), Stop(2.5, "outputs/a")]


@pytest.mark.parametrize(("longest_s", "lead_s"), [(0.0, 60), (10.0, 60), (10.1, 90), (20.0, 90), (100.0, 330)])
def test_proposals_leave_room(longest_s, lead_s):
    assert proposed_lead_s(longest_s) == lead_s
    assert lead_s >= 3 * longest_s + 30


@pytest.mark.parametrize(
    ("lead_s", "minutes", "longest_s", "severity", "change"),
    [
        (120, 240, 1.0, Severity.OK, ""),
        (120, 240, 100.0, Severity.ADVICE, "set `signal_lead_s` to 330"),
        (60, 240, 100.0, Severity.PROBLEM, "set `signal_lead_s` to 330"),
        (600, 60, 1.0, Severity.ADVICE, "set `signal_lead_s` to 60"),
        (600, 1440, 1.0, Severity.OK, ""),
    ],
)
def test_what_an_earlier_signal_is_worth(profile, lead_s, minutes, longest_s, severity, change):
    changed = profile(signal_lead_s=lead_s, time_limit_minutes=minutes)
    result = check_signal_lead(changed, [Stop(0.1, "other"), Stop(longest_s, "multirun/7")])
    assert (result.severity, result.change) == (severity, change)
    assert f"the longest of 2 measured stops took {longest_s:.1f} s (multirun/7)" in result.found


def test_nothing_measured_is_no_proposal(profile):
    result = check_signal_lead(profile(), [])
    assert result.severity == Severity.ADVICE
    assert "--runs DIR" in result.change
    assert check_save_time(RULES, []) is None
    assert check_save_time(RULES._replace(mode="OFF"), [Stop(1.0, "a")]) is None


@pytest.mark.parametrize(
    ("longest_s", "severity"),
    [(1.0, Severity.OK), (15.0, Severity.ADVICE), (29.0, Severity.ADVICE), (30.0, Severity.PROBLEM)],
)
def test_whether_a_preempted_run_saves_in_time(longest_s, severity):
    result = check_save_time(RULES, [Stop(longest_s, "a")])
    assert result.severity == severity
    assert result.found.startswith("30 s of notice; the one measured stop took ")
