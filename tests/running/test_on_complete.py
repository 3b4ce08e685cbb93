"""What a complete run leaves behind, that it can still be extended, and that a crash on the way there does no harm."""

import pkgutil
import shutil

import pytest
from omegaconf import OmegaConf

from simplexity import load_run
from simplexity.cli import main
from simplexity.composition import compose, freeze, load_frozen
from simplexity.host import PreemptionGuard
from simplexity.running._execute import execute
from simplexity.running._on_complete import on_complete
from simplexity.runs import ExitCode, RunDirectory
from simplexity.sweeps import SweepDirectory
from tests.small_runs import GRU, SMALL, final_arrays, metric_lines

SHORT = ("training.num_train_steps=10", "persistence.instance.save_every_steps=4", "persistence.snapshots.steps=[]")
COMPACT = ("analysis=default", "analysis.length=3", "persistence.on_complete=compact")


class Killed(BaseException):
    """Stands for a kill: nothing that the run does about errors happens."""


def start(run_dir, *overrides):
    given = {override.partition("=")[0] for override in (*SHORT, *overrides)}
    small = [override for override in SMALL if override.partition("=")[0] not in given]
    config = compose("experiment", [*small, *GRU, *SHORT, *overrides])
    RunDirectory.create(run_dir)
    freeze(config, run_dir)
    assert execute(run_dir, PreemptionGuard()).exit_code == ExitCode.COMPLETE


def names(run_dir):
    return sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob("*"))


@pytest.fixture(scope="module")
def complete_once(tmp_path_factory):
    """A run that has kept everything, and one that is compact; only to be copied."""
    folder = tmp_path_factory.mktemp("complete")
    start(folder / "keep", *COMPACT[:2], "persistence.on_complete=keep")
    start(folder / "compact", *COMPACT)
    return folder


@pytest.fixture
def compact(complete_once, tmp_path):
    return shutil.copytree(complete_once / "compact", tmp_path / "compact")


def test_a_compact_run_has_few_files_and_the_same_numbers(complete_once):
    keep, compact = complete_once / "keep", complete_once / "compact"
    assert names(compact) == [
        "COMPLETE",
        "analysis.jsonl",
        "config.yaml",
        "environment.json",
        "final_state.safetensors",
        "metrics.jsonl",
        "origin.json",
        "run.jsonl",
    ]
    assert {"belief_states.npz", "checkpoints/10", "lock/1"} < set(names(keep))
    assert sum(path.stat().st_size for path in compact.rglob("*")) < 200_000
    assert metric_lines(compact) == metric_lines(keep)


def test_the_front_door_opens_a_compact_run(complete_once):
    keep, compact = load_run(complete_once / "keep"), load_run(complete_once / "compact")
    assert compact.saved_steps == [10]
    assert keep.saved_steps == [4, 8, 10]
    kept, packed = keep.export(keep.path / "weights", 10), compact.export(compact.path / "weights")
    assert kept.read_bytes() == packed.read_bytes()
    kept.unlink()
    packed.unlink()


@pytest.mark.slow
def test_plot_computes_the_belief_states_that_it_does_not_keep(compact, complete_once, capfd):
    analysis = (compact / "analysis.jsonl").read_bytes()
    for message in ("computing the belief states, which the compact run does not keep\n", ""):
        assert main(["plot", str(compact)]) == 0
        printed = capfd.readouterr()
        assert (printed.err, "figures/belief_states.png" in printed.out) == (message, True)
    assert (compact / "belief_states.npz").read_bytes() == (complete_once / "keep/belief_states.npz").read_bytes()
    assert (compact / "analysis.jsonl").read_bytes() == analysis


@pytest.mark.slow
def test_plot_draws_the_other_figures_where_that_is_impossible(compact, capfd):
    (compact / "final_state.safetensors").unlink()
    assert main(["plot", str(compact)]) == 0
    printed = capfd.readouterr()
    assert "no picture of the belief states: `" in printed.err
    assert "figures/loss.png" in printed.out


def test_a_compact_run_is_extended_with_the_same_bits(compact, complete_once, tmp_path):
    keep = shutil.copytree(complete_once / "keep", tmp_path / "keep")
    for run_dir in (compact, keep):
        start(run_dir, *COMPACT[:2], "training.num_train_steps=15", "persistence.on_complete=keep")
    assert final_arrays(compact) == final_arrays(keep)
    assert metric_lines(compact) == metric_lines(keep)


def test_weights_keeps_the_model_and_says_why_it_cannot_be_extended(complete_once, tmp_path):
    run_dir = tmp_path / "weights"
    start(run_dir, "persistence.on_complete=weights")
    assert [name for name in names(run_dir) if "afetensors" in name or "check" in name] == ["snapshots/10.safetensors"]
    run = load_run(run_dir)
    assert run.saved_steps == [10]
    assert run.model() is not None
    with pytest.raises(RuntimeError, match=r"only the weights .*`persistence\.on_complete=weights`"):
        start(run_dir, "training.num_train_steps=15")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "before"),
    [
        ("simplexity.running._checkpointers.write_final_state", False),
        ("simplexity.running._on_complete.shutil.rmtree", True),
        ("simplexity.runs.RunDirectory.mark_complete", True),
        ("simplexity.runs.RunDirectory.mark_complete", False),
    ],
)
def test_a_run_that_is_killed_while_it_compacts_is_resumed(step, before, complete_once, tmp_path):
    run_dir = tmp_path / "run"

    def kill(original):
        def killed(*arguments, **keywords):
            if not before:
                original(*arguments, **keywords)
            raise Killed

        return killed

    with pytest.MonkeyPatch.context() as patch:
        module, _, name = step.rpartition(".")
        target = pkgutil.resolve_name(module)
        patch.setattr(target, name, kill(getattr(target, name)))
        with pytest.raises(Killed):
            start(run_dir, *COMPACT)
    assert execute(run_dir, PreemptionGuard()).exit_code == ExitCode.COMPLETE
    compact = complete_once / "compact"
    # Killed after COMPLETE was written, it is complete: only the lock is left.
    assert set(names(run_dir)) - set(names(compact)) <= {"lock", "lock/1"}
    assert set(names(compact)) <= set(names(run_dir))
    assert (run_dir / "final_state.safetensors").read_bytes() == (compact / "final_state.safetensors").read_bytes()
    assert metric_lines(run_dir) == metric_lines(compact)


def test_auto_is_compact_in_a_sweep_unless_checkpoints_are_kept_for_good(tmp_path):
    run = RunDirectory(tmp_path / "3")
    config = compose("experiment", [])
    assert on_complete(config, run) == "keep"
    sweep = SweepDirectory(tmp_path)
    sweep.folder.mkdir()
    sweep.manifest_path.write_text("{}")
    assert on_complete(config, run) == "compact"
    assert on_complete(compose("experiment", ["persistence.instance.keep_every_steps=10"]), run) == "keep"
    assert on_complete(compose("experiment", ["persistence=none"]), run) == "keep"
    OmegaConf.set_struct(config, False)
    del config.persistence["on_complete"]
    assert on_complete(config, run) == "keep"


def test_a_corrupt_final_state_is_not_passed_over(compact):
    path = compact / "final_state.safetensors"
    content = path.read_bytes()
    for corrupt in (content[:-1] + b"?", b""):
        path.write_bytes(corrupt)
        with pytest.raises(RuntimeError, match=r"final_state\.safetensors` is corrupt.*restore it from a copy"):
            start(compact, *COMPACT, "training.num_train_steps=15")
    assert load_frozen(compact).training.num_train_steps == 15
