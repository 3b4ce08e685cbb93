"""The kill matrix: whatever stops a run, and wherever, the resumed run is bitwise the one that was never stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import orbax.checkpoint as ocp
import pytest

from simplexity.runs import EventKind, RunDirectory, read_json_lines, read_ledger, summarize

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "simplexity" / "run_experiment.py"
STOPPING = Path(__file__).parent / "stopping.py"
PHASES = (
    "import",
    "compile",
    "first_step",
    "mid_chunk",
    "save_before_commit",
    "save_after_commit",
    "validation",
    "completion",
    "restore",
)
SIGNALS = ("SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGKILL")
SMALL = (
    "training.num_train_steps=30",
    "training.batch_size=4",
    "training.sequence_len=8",
    "training.log_every=5",
    "validation.every=10",
    "validation.batch_size=4",
    "validation.num_batches=2",
    "persistence.instance.save_every_steps=7",
    "persistence.instance.save_every_minutes=null",
)
GRU = ("predictive_model.instance.hidden_size=4", "predictive_model.instance.num_layers=1")
TRANSFORMER = (
    "predictive_model=transformer",
    "predictive_model.instance.model_size=8",
    "predictive_model.instance.num_layers=1",
    "predictive_model.instance.num_heads=2",
    "predictive_model.instance.mlp_size=8",
)
BOS = ("training_data_generator.bos_token=auto",)
GHMM = ("training_data_generator=tom_quantum",)
MODELS = {
    "gru": GRU,
    "gru-ghmm-bos": (*GRU, *GHMM, "training_data_generator.bos_token=auto"),
    "transformer-bos": (*TRANSFORMER, *BOS),
    "transformer-ghmm": (*TRANSFORMER, *GHMM),
}
WALL_CLOCK = ("time_s", "timestamp")


def run(run_dir: Path, model: str, *, stop_at: tuple[str, str, int] | None = None, cache: Path) -> int:
    """One start of the run in `run_dir`; returns the exit code."""
    command = [str(SCRIPT), f"hydra.run.dir={run_dir}", *SMALL, *MODELS[model]]
    if stop_at is not None:
        phase, signal_name, count = stop_at
        command = [str(STOPPING), phase, signal_name, str(count), *command]
    environment = os.environ | {"SIMPLEXITY_CACHE": str(cache)}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, timeout=300)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode


def final_arrays(run_dir: Path) -> dict[str, tuple[str, bytes]]:
    """Every array of the last training state: parameters, optimizer state, keys, step, metrics."""
    folder = RunDirectory(run_dir).checkpoints_path
    newest = max(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    reader = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
    state = reader.restore(folder / str(newest), args=ocp.args.Composite(state=ocp.args.PyTreeRestore()))["state"]
    return {name: (str(array.dtype), array.tobytes()) for name, array in state.items()}


def metric_lines(run_dir: Path) -> list[dict]:
    """The logged lines without what the wall clock makes of them."""
    lines = read_json_lines(RunDirectory(run_dir).metrics_path)
    return [{name: value for name, value in line.items() if name not in WALL_CLOCK} for line in lines]


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """Compiled programs, shared by all runs of a session."""
    return Path(os.environ.get("SIMPLEXITY_CACHE") or tmp_path_factory.getbasetemp().parent / "programs")


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory, cache):
    """Run directories of runs that nobody stopped, by model."""
    finished: dict[str, Path] = {}

    def of(model: str) -> Path:
        if model not in finished:
            run_dir = tmp_path_factory.mktemp("uninterrupted") / model
            assert run(run_dir, model, cache=cache) == 0
            finished[model] = run_dir
        return finished[model]

    return of


def checkpoints_written(run_dir: Path) -> int:
    return sum(event.kind == EventKind.CHECKPOINT for event in read_ledger(RunDirectory(run_dir).ledger_path))


@pytest.mark.parametrize(
    ("signal_name", "phase", "model"),
    [
        (signal_name, phase, list(MODELS)[(i + j) % len(MODELS)])
        for i, signal_name in enumerate(SIGNALS)
        for j, phase in enumerate(PHASES)
    ],
)
def test_resumed_run_is_the_uninterrupted_run(signal_name, phase, model, uninterrupted, cache, tmp_path):
    reference = uninterrupted(model)
    run_dir = tmp_path / "a run"
    if phase == "restore":
        assert run(run_dir, model, stop_at=("mid_chunk", "SIGKILL", 5), cache=cache) == -signal.SIGKILL
    count = {"mid_chunk": 5, "save_before_commit": 2, "save_after_commit": 2, "validation": 2}.get(phase, 1)
    exit_code = run(run_dir, model, stop_at=(phase, signal_name, count), cache=cache)
    events = read_ledger(RunDirectory(run_dir).ledger_path)
    if signal_name == "SIGKILL":
        assert exit_code == -signal.SIGKILL
    elif phase == "completion":
        assert exit_code == 0  # all work was done: nothing is left to be resumed
    else:
        assert exit_code == 85
        assert events[-1].kind == EventKind.PREEMPTED
        assert events[-1].reason == ("interrupt" if signal_name == "SIGINT" else signal_name)

    assert run(run_dir, model, cache=cache) == 0
    assert final_arrays(run_dir) == final_arrays(reference)
    assert metric_lines(run_dir) == metric_lines(reference)
    assert checkpoints_written(run_dir) <= checkpoints_written(reference) + 1
    summary = summarize(read_ledger(RunDirectory(run_dir).ledger_path))
    if signal_name != "SIGKILL" and phase != "restore":
        assert summary.goodput.steps_lost == 0


def test_second_start_of_a_complete_run_does_nothing(uninterrupted, cache):
    run_dir = uninterrupted("gru")
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*") if path.suffix in (".jsonl", ".json")}
    assert run(run_dir, "gru", cache=cache) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
