import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading

import pytest

import simplexity
from simplexity.cli import main
from simplexity.runs import EventKind, Ledger, RunDirectory, RunLock
from simplexity.sweeps import LocalLaunch, Manifest, SweepDirectory, SweepRun
from tests.terminal import on_terminal

HOSTILE = "a b'c\"d $HOME `id` %a \nü;&#"


@pytest.fixture
def sweep(tmp_path):
    """Two runs under a hostile path: one complete, one failed."""
    sweep = SweepDirectory(tmp_path / HOSTILE)
    sweep.folder.mkdir(parents=True)
    runs = tuple(SweepRun(i, (f"seed={i}", f"name='{HOSTILE}{i}'"), f"{i}", str(i), 5) for i in range(2))
    for run in runs:
        directory = RunDirectory.create(sweep.path / run.directory)
        directory.config_path.write_text("seed: 1\n")
        ledger = Ledger(directory.ledger_path)
        ledger.append(EventKind.START, 0)
        ledger.append(EventKind.CHECKPOINT, 5)
        if run.index == 0:
            directory.mark_complete(5, 0.6, 0.5, 0.1)
            ledger.append(EventKind.COMPLETE, 5)
        else:
            ledger.append(EventKind.FAILED, 5, reason="RuntimeError: out of\nmemory")
    sweep.log_path(0).parent.mkdir()
    sweep.log_path(0).write_bytes(b"hello \xff\n")
    launch = LocalLaunch(max_parallel=1, cores_per_run=None)
    sweep.write_manifest(
        Manifest(
            program="train_model", config_name="train_model", created=0.0, version="0",
            working_folder=str(tmp_path), launch=launch, runs=runs,
        )
    )  # fmt: skip
    return sweep


def test_status_and_results(sweep, capfd):
    assert main(["status", str(sweep.path)]) == 0
    status = capfd.readouterr().out
    assert "2 runs: 1 complete, 1 failed" in status
    assert "run 1 failed: RuntimeError: out of\\nmemory" in status
    assert main(["results", str(sweep.path), "--sort", "seed", "--descending"]) == 0
    table = capfd.readouterr().out.splitlines()
    assert [line.split()[0] for line in table] == ["run", "1", "0"]
    assert main(["results", str(sweep.path), "--csv", str(sweep.path / "r.csv")]) == 0
    assert (sweep.path / "r.csv").read_text().startswith("run,state,seed,name,step,loss,optimum,excess,reason\n")
    assert main(["results", str(sweep.path), "--over", "seed", "--csv", "-"]) == 0
    assert capfd.readouterr().out.startswith("name,runs,complete,loss,loss_sd,optimum,optimum_sd,excess,excess_sd\n")
    assert main(["results", str(sweep.path), "--over", "seed", "--json"]) == 0
    assert [row["complete"] for row in json.loads(capfd.readouterr().out)] == [1, 0]
    assert main(["results", str(sweep.path), "--over", "seed"]) == 0
    assert capfd.readouterr().out.startswith("runs  complete     loss   excess")


def test_watching_what_has_ended_ends(sweep, capfd):
    assert main(["status", str(sweep.path), "--watch"]) == 1
    assert capfd.readouterr().out.startswith("2 runs: 1 complete, 1 failed")


def test_logs_are_handed_on_byte_for_byte(sweep, capfdbinary):
    assert main(["logs", str(sweep.path), "0"]) == 0
    assert capfdbinary.readouterr().out == b"hello \xff\n"


def test_show_tells_every_attempt(sweep, capfd):
    assert main(["show", str(sweep.path / "1")]) == 0
    shown = capfd.readouterr().out
    assert "failed: RuntimeError: out of\\nmemory" in shown
    assert "not running; saved up to step 5" in shown
    assert main(["show", str(sweep.path / "0")]) == 0
    assert "complete at step 5: final loss 0.60000 nats, excess 0.10000\n" in capfd.readouterr().out


def test_nothing_is_running(sweep, capfd):
    assert main(["cancel", str(sweep.path)]) == 0
    assert capfd.readouterr().out == "no run is running\n"
    (sweep.path / "1/run.jsonl").unlink()
    RunDirectory(sweep.path / "1").mark_complete(5, 0.6)
    assert main(["retry", str(sweep.path), "--missing"]) == 0
    assert capfd.readouterr().out == "there is nothing to start again\n"


def test_a_retry_that_selects_nothing_says_what_would(sweep, capfd):
    directory = RunDirectory(sweep.path / "1")
    Ledger(directory.ledger_path).append(EventKind.FAILED, 5, reason="RuntimeError: the loss is not finite at step 6")
    assert main(["retry", str(sweep.path)]) == 0
    told = capfd.readouterr().out
    assert told.startswith("skipped: #1: a run whose loss is not finite repeats that")
    assert "--failed starts it nevertheless\n" in told
    directory.ledger_path.unlink()
    assert main(["retry", str(sweep.path), "--failed"]) == 0
    told = capfd.readouterr().out
    assert told.startswith("no run is failed, but there are 1 missing; to start them again: simplexity retry ")
    assert told.endswith(" --missing\n")


def test_a_sweep_of_another_launcher_is_known_for_one(sweep, tmp_path, capfd):
    for index in range(2):
        shutil.copytree(sweep.path / "1", tmp_path / "basic" / str(index))
    assert main(["status", str(tmp_path / "basic")]) == 2
    told = capfd.readouterr().err
    assert "another launcher, such as hydra/launcher=basic, made its 2 runs" in told
    assert told.endswith(f"to look at one: simplexity show {tmp_path}/basic/0\n")


def test_json_has_an_object_for_every_run(sweep, capfd):
    assert main(["status", str(sweep.path), "--json"]) == 0
    status = json.loads(capfd.readouterr().out)
    assert [(run["run"], run["state"], run["loss_nats"]) for run in status["runs"]] == [
        (0, "complete", 0.6),
        (1, "failed", None),
    ]
    assert status["runs"][1]["reason"] == "RuntimeError: out of\nmemory"
    assert status["runs"][0]["goodput"].keys() >= {"computing_s", "lost_s"}
    assert main(["results", str(sweep.path), "--json"]) == 0
    assert [row["loss"] for row in json.loads(capfd.readouterr().out)] == [0.6, None]
    assert main(["show", str(sweep.path / "1"), "--json"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert (shown["running"], shown["saved_step"], shown["attempts"][0]["last_event"]) == (False, 5, "failed")


def test_csv_on_standard_output_is_nothing_else(sweep, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["results", str(sweep.path), "--csv", "-"]) == 0
    told = capfd.readouterr()
    assert [row["run"] for row in csv.DictReader(told.out.splitlines())][:1] == ["0"]
    assert (told.err, list(tmp_path.glob("-"))) == ("", [])
    assert main(["results", str(sweep.path), "--csv", "/dev/stdout"]) == 0
    assert "wrote" not in capfd.readouterr().out


def test_without_a_folder_the_newest_is_meant(sweep, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("status", "results", "show"):
        assert main([command]) == 2
        assert "here; name the" in capfd.readouterr().err
    for age, name in enumerate(("12-00-00", "11-00-00")):
        for kind in ("multirun", "outputs"):
            folder = tmp_path / kind / "2026-01-01" / name
            shutil.copytree(sweep.path if kind == "multirun" else sweep.path / "0", folder)
            mark = folder / ("sweep/manifest.json" if kind == "multirun" else "config.yaml")
            os.utime(mark, (1000 - age, 1000 - age))
    for command, folder in (("status", "multirun"), ("results", "multirun"), ("show", "outputs")):
        assert main([command]) == 0
        assert capfd.readouterr().err.endswith(f": {folder}/2026-01-01/12-00-00\n")


@pytest.mark.slow
def test_a_log_is_followed_until_the_run_ends(sweep, capfdbinary):
    directory = RunDirectory(sweep.path / "1")
    with RunLock(directory.lock_path) as lock:
        following = threading.Timer(1.0, lambda: (sweep.log_path(1).write_bytes(b"late\n"), lock.release()))
        following.start()
        assert main(["logs", str(sweep.path), "1", "--follow"]) == 0
    assert capfdbinary.readouterr().out == b"late\n"


def test_the_version_by_both_names():
    for words in (["-m", "simplexity", "--version"], ["-m", "simplexity.cli", "--version"]):
        done = subprocess.run([sys.executable, "-P", *words], capture_output=True, text=True, timeout=60)
        assert done.stdout == f"simplexity {simplexity.__version__}\n"


@pytest.mark.parametrize(("variables", "says"), [({}, "\x1b[1m\x1b[31merror:\x1b[0m"), ({"NO_COLOR": "1"}, "error:")])
def test_an_error_on_a_terminal_says_that_it_is_one(variables, says):
    command = ["env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, "-m", "simplexity"]
    with on_terminal([*command, "show", "/nowhere"], columns=80) as terminal:
        assert terminal.read_to_end() == 2
    assert terminal.written.startswith(f"{says} simplexity: `/nowhere`: there is no such folder")


def test_the_shell_completes_commands_and_options(tmp_path):
    line = "simplexity sta"
    completing = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": " "}
    command = f"{sys.executable} -P -m simplexity.cli 8>{shlex.quote(str(tmp_path / 'said'))}"
    subprocess.run(["bash", "-c", command], env=os.environ | completing, timeout=60, check=False)
    assert (tmp_path / "said").read_text().split() == ["status"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["status", "{tmp}"], 2, "is not a sweep"),
        (["logs", "{sweep}", "7"], 2, "there is no run 7; the sweep has 2: 0 to 1"),
        (["logs", "{sweep}", "1"], 1, "has printed nothing yet"),
        (["results", "{sweep}", "--sort", "x"], 2, "`--sort`: there is no column x"),
        (["results", "{sweep}", "--over", "x"], 2, "`--over`: no run overrides x; overridden are seed, name"),
        (["results", "{sweep}", "--csv", "/proc/x/y"], 1, "simplexity: `/proc/x/y`: No such file"),
        (
            ["show", "{sweep}"],
            2,
            "is not a run directory: it has no config.yaml; it is a sweep: name one of its runs, such",
        ),
        (["show", "{tmp}/typo"], 2, "/typo`: there is no such folder"),
        (["results", "{tmp}/typo"], 2, "/typo`: there is no such folder"),
        (["resume", "{tmp}/typo"], 2, "/typo`: there is no such folder"),
        (["status", __file__], 2, "it is a file; name the sweep's folder"),
        (["resume", __file__], 2, "it is a file; name the run's folder"),
        (["resume"], 2, "give either RUN_DIR, or --sweep"),
        (["resume", "{sweep}", "--index", "1"], 2, "give either RUN_DIR, or --sweep"),
        (["resume", "{tmp}"], 2, "is not a run directory"),
        (["resume", "--sweep", "{sweep}", "--index", "1"], 2, "training"),
    ],
)
def test_mistakes_end_in_one_line(sweep, tmp_path, arguments, code, says):
    filled = [argument.format(tmp=tmp_path, sweep=sweep.path) for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "simplexity.cli", *filled], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert says == "training" or done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: COMMAND; see simplexity --help"),
        (["statsu"], "invalid choice: 'statsu'"),
        (["status", "--wach"], "unrecognized arguments: --wach (did you mean --watch?); see simplexity status --help"),
        (["--bogus", "status"], "unrecognized arguments: --bogus; see simplexity --help"),
        (["status", "a", "b"], "unrecognized arguments: b; see simplexity status --help"),
        (["logs", "{sweep}", "one"], "argument N: invalid int value: 'one'; see simplexity logs --help"),
        (["process", "mess3", "--length"], "argument --length: expected one argument; see simplexity process --help"),
        (["work", "{sweep}", "--pack", "0"], "argument --pack: must be at least 1, or auto, got 0"),
    ],
)
def test_mistyped_commands_end_in_one_line(sweep, capfd, arguments, says):
    assert main([argument.format(sweep=sweep.path) for argument in arguments]) == 2
    error = capfd.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_looking_after_sweeps_imports_nothing_heavy(sweep):
    code = f"import sys; from simplexity.cli import main; main(['status', {str(sweep.path)!r}])\n"
    code += "heavy = {'jax', 'numpy', 'hydra', 'omegaconf', 'submitit', 'matplotlib'} & set(sys.modules)\n"
    code += "peak_kb = int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])\n"
    code += "sys.exit(str(heavy) if heavy else peak_kb > 100_000)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away(sweep):
    command = f'{sys.executable} -P -m simplexity.cli logs "$SWEEP" 0 | true; exit ${{PIPESTATUS[0]}}'
    sweep.log_path(0).write_bytes(b"x" * 1_000_000)
    environment = {**os.environ, "SWEEP": str(sweep.path)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
def test_plot_draws_a_run_or_a_sweep_without_jax(sweep, capfd, monkeypatch):
    monkeypatch.chdir(sweep.path)
    (sweep.path / "0" / "metrics.jsonl").write_text('{"step": 1, "loss": 0.6, "excess": 0.1, "optimum": 0.5}\n')
    code = "import sys; from simplexity.cli import main; codes = [main(['plot', name]) for name in ('0', '1', '.')]\n"
    code += "assert codes == [0, 0, 0] and 'jax' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "0/figures/loss.png", "nothing to draw yet: nothing has been logged", "figures/final_kl.png",
        "figures/curves.png",
    ]  # fmt: skip
    assert main(["plot", str(sweep.path / "logs")]) == 2
    assert "is not a sweep" in capfd.readouterr().err


def test_plot_takes_the_newest_run_or_sweep(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert main(["plot"]) == 2
    assert "there is no run or sweep in outputs/*/* or multirun/*/* here" in capfd.readouterr().err
    directory = RunDirectory.create(tmp_path / "outputs" / "2026-01-01" / "10-00-00")
    directory.config_path.write_text("seed: 1\n")
    assert main(["plot"]) == 0
    assert "the newest run or sweep: outputs/2026-01-01/10-00-00" in capfd.readouterr().err
