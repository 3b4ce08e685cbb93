from simplexity.cli import main
from simplexity.runs import EventKind, Ledger, RunDirectory


def test_show_tells_how_far_a_killed_attempt_came(tmp_path, capfd):
    directory = RunDirectory.create(tmp_path / "run")
    directory.config_path.write_text("seed: 1\n")
    ledger = Ledger(directory.ledger_path)
    ledger.append(EventKind.START, 0)
    ledger.append(EventKind.FIRST_STEP, 1)
    directory.metrics_path.write_text('{"step": 7000}\n')

    def from_and_to_steps():
        assert main(["show", str(directory.path)]) == 0
        rows = [line.split() for line in capfd.readouterr().out.splitlines() if " s  " in line]
        return [tuple(row[4:6]) for row in rows if row[0].isdigit()]

    assert from_and_to_steps() == [("0", "7000")]
    ledger.append(EventKind.START, 5000)
    ledger.append(EventKind.FAILED, 5000, reason="RuntimeError: no")
    ledger.append(EventKind.START, 5000)
    ledger.append(EventKind.RESUME, 5000, reached_step=7000, reason="metrics.jsonl had no lines after step 5")
    ledger.append(EventKind.FIRST_STEP, 5001)
    directory.metrics_path.write_text('{"step": 9000}\n')
    assert from_and_to_steps() == [("0", "7000"), ("5000", "5000"), ("5000", "9000")]
    assert main(["show", str(directory.path)]) == 0
    assert "attempt 3: metrics.jsonl had no lines after step 5" in capfd.readouterr().out


def test_show_of_a_run_that_began_again_says_from_step_0(tmp_path, capfd):
    directory = RunDirectory.create(tmp_path / "run")
    directory.config_path.write_text("seed: 1\n")
    ledger = Ledger(directory.ledger_path)
    ledger.append(EventKind.START, 239)
    ledger.append(EventKind.FIRST_STEP, 1)
    assert main(["show", str(directory.path)]) == 0
    row = capfd.readouterr().out.splitlines()[1].split()
    assert (row[0], row[4:6]) == ("1", ["0", "1"])
