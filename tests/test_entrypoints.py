"""The commands of the README, word by word, as subprocesses of the real scripts."""

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from simplexity.runs import RunDirectory, read_json_lines, read_ledger, read_origin

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
EXPERIMENT, TRAIN_MODEL = "simplexity/run_experiment.py", "simplexity/train_model.py"
TINY = (
    "training.num_train_steps=12",
    "training.sequence_len=8",
    "training.log_every=4",
)
TINY_VALIDATION = ("validation.every=6", "validation.batch_size=8", "validation.num_batches=2", "analysis.length=3")
FINAL = re.compile(r"final loss (\d+\.\d+) nats = optimum (\d+\.\d+) \+ (?:KL|excess) (-?\d+\.\d+) \((-?\d+\.\d+) %\)$")


def launch(folder: Path, script: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a script of the repository in `folder`, which has a site's configs."""
    site = folder / "configs"
    if not site.exists():
        site.symlink_to(ROOT / "configs")
    command = [sys.executable, str(ROOT / script), *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=400, check=False, env=os.environ | environment
    )


def tiny(script: str) -> tuple[str, ...]:
    return TINY + (TINY_VALIDATION if script == EXPERIMENT else ())


def run_dirs(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("outputs/*/*/config.yaml"))


@pytest.mark.parametrize("script", [EXPERIMENT, TRAIN_MODEL])
def test_run_leaves_everything_in_its_directory_and_prints_the_final_loss_last(script, tmp_path):
    done = launch(tmp_path, script, *tiny(script), "seed=42")
    assert done.returncode == 0, done.stderr
    last = FINAL.match(done.stdout.splitlines()[-1])
    assert last is not None, done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"configs", "outputs"}
    (run_dir,) = run_dirs(tmp_path)
    assert re.fullmatch(r"outputs/\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d", str(run_dir.relative_to(tmp_path)))
    folder = str(run_dir.relative_to(tmp_path))
    told = done.stdout.splitlines()
    assert told[0] == "starting: JAX is being loaded"
    assert re.fullmatch(rf"mess3 \| GRU, [\d,]+ parameters \| CPU, \d+ cores? \| {folder}", told[1])
    assert told[2].startswith("compiling the training step")
    pictures = [f"figures: {folder}/figures"] if script == EXPERIMENT else []
    if script == EXPERIMENT:
        assert told.pop(-2).startswith("beliefs: R2 0.")
    assert told[-2 - len(pictures) : -1] == [f"folder:  {folder}", *pictures]
    names = {path.name for path in run_dir.iterdir()}
    program = Path(script).stem
    assert names >= {
        ".hydra",
        "config.yaml",
        "metrics.jsonl",
        "environment.json",
        "checkpoints",
        "COMPLETE",
        f"{program}.log",
    }
    assert {path.name for path in (run_dir / ".hydra").iterdir()} == {"config.yaml", "overrides.yaml", "hydra.yaml"}
    assert "seed=42" in (run_dir / ".hydra" / "overrides.yaml").read_text()
    assert ("figures" in names) == (script == EXPERIMENT)
    (environment,) = json.loads((run_dir / "environment.json").read_text())
    assert environment["git"].keys() == {"commit", "dirty"}
    assert environment["versions"]["jax"]
    assert environment["devices"]
    completion = RunDirectory(run_dir).read_completion()
    assert completion is not None
    assert completion.loss_nats == pytest.approx(float(last[1]), abs=1e-5)
    lines = read_json_lines(run_dir / "metrics.jsonl")
    assert lines[-1]["step"] == 12
    assert lines[-1]["validation_loss" if script == EXPERIMENT else "loss"] == completion.loss_nats
    assert [line["step"] for line in lines] == ([4, 6, 8, 12] if script == EXPERIMENT else [4, 8, 12])


def test_default_experiment_reaches_the_optimum_within_two_minutes(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = launch(tmp_path, EXPERIMENT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    last = FINAL.match(done.stdout.splitlines()[-1])
    assert last is not None, done.stdout
    assert 0 < float(last[4]) < 0.2
    (run_dir,) = run_dirs(tmp_path)
    best = read_json_lines(run_dir / "analysis.jsonl")[-1]["best"]
    assert best["r2"] > 0.99 > best["r2_untrained"]
    assert best["r2_shuffled"] < 0.05
    # Of one core, so that it is true on two however much else they do.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 120
    # At most one plain line per five seconds, but for the first and the last.
    lines = [line for line in done.stdout.splitlines() if line.startswith("step ")]
    events = read_ledger(RunDirectory(run_dirs(tmp_path)[0]).ledger_path)
    assert len(lines) <= 3 + (events[-1].time - events[0].time) / 5


def test_equal_commands_give_equal_runs_and_seeds_differ(tmp_path):
    losses = []
    for seed in (1, 1, 2):
        done = launch(tmp_path, TRAIN_MODEL, *tiny(TRAIN_MODEL), f"seed={seed}")
        last = FINAL.match(done.stdout.splitlines()[-1])
        assert last is not None, done.stderr
        losses.append(last[1])
    assert losses[0] == losses[1] != losses[2]


def test_grid_of_three_by_two_is_six_runs(tmp_path):
    grid = ("training.optimizer.instance.learning_rate=0.01,0.001,0.0001", "training.batch_size=32,64")
    done = launch(tmp_path, TRAIN_MODEL, "--multirun", *tiny(TRAIN_MODEL), *grid)
    assert done.returncode == 0, done.stderr
    runs = sorted(path.parent.name for path in tmp_path.glob("multirun/*/*/*/COMPLETE"))
    assert runs == ["0", "1", "2", "3", "4", "5"]


def test_sweep_over_processes_in_one_process_says_nothing_of_the_compilation_cache(tmp_path):
    grid = ("hydra/launcher=basic", "training_data_generator=mess3,rrxor")
    done = launch(tmp_path, TRAIN_MODEL, "--multirun", *tiny(TRAIN_MODEL), *grid)
    assert done.returncode == 0, done.stderr
    assert "cache" not in (done.stdout + done.stderr).lower()
    configs = [path.read_text() for path in sorted(tmp_path.glob("multirun/*/*/*/config.yaml"))]
    assert ["mess3" in config for config in configs] == [True, False]
    assert ["rrxor" in config for config in configs] == [False, True]


def test_optuna_searches(tmp_path):
    done = launch(
        tmp_path,
        EXPERIMENT,
        "--multirun",
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=2",
        *tiny(EXPERIMENT),
    )
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("multirun/*/*/*/COMPLETE"))) == 2
    assert list(tmp_path.glob("multirun/*/*/optimization_results.yaml"))


def test_weights_of_another_run_start_a_fresh_one(tmp_path):
    first = launch(tmp_path, TRAIN_MODEL, *tiny(TRAIN_MODEL), "hydra.run.dir=first")
    assert first.returncode == 0, first.stderr
    source = ("predictive_model.load_checkpoint_from=first", "predictive_model.load_checkpoint_step=12")
    # Without a step, the newest.
    second = launch(tmp_path, TRAIN_MODEL, *tiny(TRAIN_MODEL), *source[:1], "hydra.run.dir=second", "seed=5")
    assert second.returncode == 0, second.stderr
    before, after = (read_json_lines(tmp_path / name / "metrics.jsonl") for name in ("first", "second"))
    assert after[0]["loss"] < before[0]["loss"]
    assert after[0]["step"] == 4
    weights = read_origin(tmp_path / "second" / "origin.json").weights
    assert weights is not None
    assert (weights.directory, weights.step) == (str(tmp_path / "first"), 12)

    wrong_step = launch(
        tmp_path, TRAIN_MODEL, *tiny(TRAIN_MODEL), *source[:1], "predictive_model.load_checkpoint_step=7"
    )
    assert wrong_step.returncode == 2
    assert re.search(r"no model of step 7: saved steps are 12", wrong_step.stderr)
    another = launch(tmp_path, TRAIN_MODEL, *tiny(TRAIN_MODEL), *source, "predictive_model.instance.hidden_size=5")
    assert another.returncode == 2
    assert re.search(r"`model\..*shape \(.*\).*shape \(.*\)", another.stderr)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("training.batch_sise=3",), ("training.batch_sise", "batch_size")),
        (("training_data_generator=mes3",), ("mes3", "mess3", "rrxor")),
        (("training.batch_size=0",), ("training.batch_size", "at least 1", "0")),
        (("training.batch_size=many",), ("training.batch_size", "many")),
        (("training.optimizer.instance.learning_rate=-1",), ("learning_rate", "positive", "-1")),
        (("training_data_generator=coin", "training_data_generator.instance.p=1.3"), ("instance.p", "[0, 1]", "1.3")),
        (("training_data_generator.bos_token=1",), ("bos_token", "1", "3")),
        (("hydra.run.dir=/proc/nowhere",), ("/proc/nowhere",)),
        (("predictive_model.load_checkpoint_from=nowhere",), ("load_checkpoint_from", "no such folder")),
        (("predictive_model.load_checkpoint_step=3",), ("load_checkpoint_from", "step 3")),
        (
            ("training.sequence_len=1", *(f"training_data_generator.{which}_token=auto" for which in ("bos", "eos"))),
            ("training.sequence_len", "at least 2", "1"),
        ),
    ],
)
def test_mistake_is_one_line_and_nothing_is_left_behind(overrides, words, tmp_path):
    done = launch(tmp_path, EXPERIMENT, *overrides)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert all(word in done.stderr for word in words)
    assert [path.name for path in tmp_path.iterdir()] == ["configs"]


def test_loss_that_is_not_finite_ends_the_run_with_its_step(tmp_path):
    done = launch(
        tmp_path,
        TRAIN_MODEL,
        *tiny(TRAIN_MODEL),
        "training.optimizer.instance.learning_rate=1e38",
        "training.gradient_clip_norm=null",
        "hydra.run.dir=run",
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"the loss is not finite at step \d+, .* `predictive_model\.load_checkpoint_from=.*/run` it begins with .* \d+",
        done.stderr.strip(),
    )
    assert any(path.name.isdigit() for path in (tmp_path / "run" / "checkpoints").iterdir())


NOT_NEEDED = {"orbax", "matplotlib", "optuna", "submitit", "mlflow", "wandb", "tensorboard", "pandas", "torch"}


def test_run_from_anywhere_needs_no_site_and_for_its_first_step_no_more_than_two_programs(tmp_path):
    """Each operation of JAX outside of a program would be one more program, which is compiled or loaded."""
    command = [sys.executable, "-X", "importtime", "-m", "simplexity.train_model", *TINY, "persistence=none"]
    environment = {"PYTHONSAFEPATH": "1", "JAX_LOG_COMPILES": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=os.environ | environment
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if not line.startswith("import time:")] == []
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "jax" in imported
    assert not imported & {"rich.console", *NOT_NEEDED}
    before, _, after = done.stdout.partition("\nstep 1/")
    assert after, done.stdout
    # The lambda tries which options the compiler knows.
    compiled = re.findall(r"Finished XLA compilation of jit\((\S+)\) in", before)
    assert set(compiled) - {"<lambda>"} == {"initial_state", "train_steps"}


def test_checking_a_sweep_leaves_the_gpu_to_its_runs(tmp_path):
    # There is none here: whoever asked JAX for it would fail.
    sweep = ("--multirun", "seed=0,1", "hydra/launcher=slurm", "hydra.launcher.dry_run=true")
    done = launch(tmp_path, TRAIN_MODEL, *sweep, JAX_PLATFORMS="cuda")
    assert done.returncode == 0, done.stderr


def test_run_that_requires_a_gpu_refuses_a_cpu(tmp_path):
    done = launch(tmp_path, TRAIN_MODEL, *tiny(TRAIN_MODEL), "require_gpu=true")
    assert done.returncode == 1
    assert done.stderr.strip().startswith("`require_gpu` is true, but jax sees no GPU here")


def test_number_of_devices_that_is_none_is_one_line_and_nothing_is_left_behind(tmp_path):
    done = launch(tmp_path, TRAIN_MODEL, *TINY, JAX_NUM_CPU_DEVICES="two")
    assert done.returncode == 2
    assert done.stderr == "JAX_NUM_CPU_DEVICES must be a whole number, got 'two'; or unset it\n"
    assert [path.name for path in tmp_path.iterdir()] == ["configs"]


def test_platform_that_jax_has_not_is_one_line_and_nothing_is_left_behind(tmp_path):
    done = launch(tmp_path, TRAIN_MODEL, *TINY, JAX_PLATFORMS="nonesuch")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("JAX_PLATFORMS=nonesuch, which jax cannot use here")
    assert [path.name for path in tmp_path.iterdir()] == ["configs"]
