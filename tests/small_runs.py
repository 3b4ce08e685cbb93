"""Small runs of the real script, and what they leave behind, for the tests that stop, kill and corrupt runs."""

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import get_context
from pathlib import Path

import orbax.checkpoint as ocp
from safetensors.numpy import load_file

from simplexity.host import configure_accelerator
from simplexity.runs import RunDirectory, read_json_lines
from tests.running.program import call_program

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "simplexity" / "run_experiment.py"
STOPPING = Path(__file__).parent / "running" / "stopping.py"
SMALL = (
    "figures=false",
    "analysis=null",
    "training.num_train_steps=30",
    "training.batch_size=4",
    "training.sequence_len=8",
    "training.log_every=5",
    "validation.every=10",
    "validation.batch_size=4",
    "validation.num_batches=2",
    "persistence.instance.save_every_steps=7",
    "persistence.instance.save_every_minutes=null",
    "persistence.snapshots.steps=[0,3,10,26]",
)
ANALYSIS = ("analysis=default", "analysis.length=3", "analysis.every=10")
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
    "gru-ghmm-bos": (*GRU, *GHMM, *BOS),
    "transformer-bos": (*TRANSFORMER, *BOS),
    "transformer-ghmm": (*TRANSFORMER, *GHMM),
}
WALL_CLOCK = ("time_s", "timestamp")


def command(run_dir: Path, model: str, *overrides: str) -> list[str]:
    """The command that starts, or resumes, the run in `run_dir`; `overrides` replace those of `SMALL`."""
    given = {override.partition("=")[0] for override in overrides}
    small = [override for override in SMALL if override.partition("=")[0] not in given]
    return [sys.executable, str(SCRIPT), f"hydra.run.dir='{run_dir}'", *small, *MODELS[model], *overrides]


def environment(cache: Path) -> dict[str, str]:
    """This process's, with the compiled programs that all runs share."""
    return os.environ | {"SIMPLEXITY_CACHE": str(cache)}


def run(
    run_dir: Path,
    model: str,
    *overrides: str,
    cache: Path,
    stop_at: tuple[str, str, int] | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess:
    """One start of the run in `run_dir`; with `stop_at`, it sends itself a signal (see running/stopping.py).

    Args:
        run_dir: The run's directory.
        model: A key of `MODELS`.
        *overrides: More of the command line.
        cache: Folder of compiled programs.
        stop_at: Phase, signal, and at which time that the phase begins.
        variables: More of the environment.
    """
    words = command(run_dir, model, *overrides)
    if stop_at is not None:
        words[1:1] = [str(STOPPING), *map(str, stop_at)]
    settings = environment(cache) | dict(variables or {})
    done = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done


class Runner:
    """A process that does what the script does, run after run: it imports JAX once for all of them.

    The tests' own process would not do: programs are compiled in another way there (see conftest.py).

    Args:
        cache: Folder of compiled programs.
    """

    def __init__(self, cache: Path):
        self._process = ProcessPoolExecutor(1, get_context("spawn"), _prepare, (cache,))

    def run(self, run_dir: Path, model: str, *overrides: str) -> subprocess.CompletedProcess:
        """As the function `run`."""
        done = self._process.submit(_run_here, command(run_dir, model, *overrides)[1:]).result(timeout=300)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def close(self) -> None:
        self._process.shutdown()


def _prepare(cache: Path) -> None:
    os.environ["SIMPLEXITY_CACHE"] = str(cache)
    configure_accelerator()


def _run_here(argv: list[str]) -> subprocess.CompletedProcess:
    sys.argv[:] = argv
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as error:
        exit_code = call_program("experiment", *argv[1:])
    return subprocess.CompletedProcess(argv, exit_code, out.getvalue(), error.getvalue())


def slow_disk(folder: Path, seconds_per_file: float) -> dict[str, str]:
    """The environment of a process whose files take that long to reach the disk; no disk here can be made so slow."""
    (folder / "sitecustomize.py").write_text(
        f"import os, time\nquick = os.fsync\nos.fsync = lambda file: (time.sleep({seconds_per_file}), quick(file))\n"
    )
    return {"PYTHONPATH": str(folder)}


def final_arrays(run_dir: Path) -> dict[str, tuple[str, bytes]]:
    """Every array of the last training state: parameters, optimizer state, keys, step, metrics."""
    directory = RunDirectory(run_dir)
    folder = directory.checkpoints_path
    if not folder.exists():
        arrays = load_file(directory.final_state_path)
        # Orbax saves no array without elements.
        return {name: (str(array.dtype), array.tobytes()) for name, array in arrays.items() if array.size}
    newest = max(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    reader = ocp.Checkpointer(ocp.CompositeCheckpointHandler())
    state = reader.restore(folder / str(newest), args=ocp.args.Composite(state=ocp.args.PyTreeRestore()))["state"]
    return {name: (str(array.dtype), array.tobytes()) for name, array in state.items()}


def metric_lines(run_dir: Path) -> list[dict]:
    """The logged lines without what the wall clock makes of them."""
    lines = read_json_lines(RunDirectory(run_dir).metrics_path)
    return [{name: value for name, value in line.items() if name not in WALL_CLOCK} for line in lines]


def snapshot_files(run_dir: Path) -> dict[str, bytes]:
    """Every file among a run's snapshots, of which a run has none unless it is told to keep some."""
    return {path.name: path.read_bytes() for path in RunDirectory(run_dir).snapshots_path.glob("*")}


def assert_same_run(run_dir: Path, reference: Path) -> None:
    """Bit for bit the same end and the same snapshots, and line for line the same metrics."""
    assert snapshot_files(run_dir) == snapshot_files(reference)
    assert final_arrays(run_dir) == final_arrays(reference)
    assert metric_lines(run_dir) == metric_lines(reference)
