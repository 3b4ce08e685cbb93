"""`import simplexity as sx`: what a notebook does with runs and sweeps, and with models that no run has trained."""

import doctest
import importlib
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

import simplexity as sx
import simplexity.analysis
from simplexity.composition import ConfigError
from simplexity.generative_processes import DataGenerator
from simplexity.predictive_models import to_transformer_lens
from tests.small_runs import final_arrays
from tests.sweeps.conftest import make_sweep as make_sweep

FROZEN = Path(__file__).parent / "composition" / "frozen"
ROOT = Path(__file__).parents[1]
MODULES_WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "simplexity").rglob("*.py")
    if ">>> " in path.read_text("utf-8")
)


def test_nothing_is_imported_before_it_is_used():
    heavy = "{'jax', 'numpy', 'hydra'}"
    code = f"import sys, simplexity as sx; assert 'load_run' in dir(sx); print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


def test_what_there_is():
    assert sx.processes.mess3(0.05, 0.85).num_states == 3
    assert all(hasattr(sx, name) for name in sx.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sx.nothing  # noqa: B018


def test_every_name_has_an_example():
    for name in sx.__all__:
        text = inspect.getdoc(getattr(sx, name)) or ""
        assert ">>> " in text, name
        assert "+SKIP" not in text, name


@pytest.mark.parametrize(
    "module",
    [
        # Its examples load a run, which the real script has written.
        pytest.param(module, marks=pytest.mark.slow) if module == "simplexity.experiment" else module
        for module in MODULES_WITH_EXAMPLES
    ],
)
def test_the_examples_of_docstrings(module, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if module == "simplexity.experiment":
        named = Path("2026-11-26", "10-00-00")
        shutil.copytree(request.getfixturevalue("uninterrupted")("gru"), "outputs" / named)
        shutil.copytree(request.getfixturevalue("make_sweep")({"steps": 4}, {"steps": 4}).path, "multirun" / named)
    result = doctest.testmod(importlib.import_module(module))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.fixture
def folder(uninterrupted):
    return uninterrupted("gru")


def test_a_run(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    run = sx.load_run("gru")
    assert run.path == folder.resolve()
    assert run.config.seed == 0
    assert [line["step"] for line in run.metrics][-1] == 30
    assert run.analysis == []
    assert run.saved_steps[-1] == 30
    last = run.metrics[-1]
    assert last["validation_loss"] == pytest.approx(run.optimum.nats + last["validation_kl"])
    assert run.process.num_states == 3
    logits, activations = run.model().forward(jnp.zeros((2, 5), int))
    assert logits.shape == (2, 5, 3)
    assert list(activations) == ["layer_0"]


def test_the_models_of_a_run(folder):
    run = sx.load_run(folder)
    saved = {name: array for name, (_, array) in final_arrays(folder).items() if name.startswith("model.")}
    newest = jax.tree.leaves(eqx.filter(run.model(), eqx.is_array))
    assert sorted(np.asarray(leaf).tobytes() for leaf in newest) == sorted(saved.values())
    assert not eqx.tree_equal(run.model(), run.model(step=run.saved_steps[0]))
    assert not eqx.tree_equal(run.model(), run.untrained_model())
    assert run.snapshots == [0, 3, 10, 26, 30]
    assert set(run.snapshots) < set(run.saved_steps)
    assert eqx.tree_equal(run.model(step=0), run.untrained_model())
    with pytest.raises(ValueError, match="has no model of step 4: saved steps are 0, 3, 10, "):
        run.model(step=4)


def test_weights_as_safetensors(folder, tmp_path):
    run = sx.load_run(folder)
    weights = load_file(run.export(tmp_path / "weights.safetensors"))
    assert np.array_equal(weights["head.weight"], run.model().head.weight)
    assert len(weights) == len(jax.tree.leaves(eqx.filter(run.model(), eqx.is_array)))
    exported = run.export(tmp_path / "early.safetensors", step=3)
    assert exported.read_bytes() == (folder / "snapshots" / "3.safetensors").read_bytes()
    with pytest.raises(ValueError, match=r"^only a Transformer has the layout of TransformerLens, got GRU$"):
        run.export(tmp_path / "lens.safetensors", layout="transformer_lens")
    assert not (tmp_path / "lens.safetensors").exists()


def test_a_transformer_for_transformer_lens(uninterrupted, tmp_path):
    run = sx.load_run(uninterrupted("transformer-bos"))
    path = run.export(tmp_path / "lens.safetensors", step=10, layout="transformer_lens")
    config, weights = to_transformer_lens(run.model(step=10), run.config.training.sequence_len)
    with safe_open(path, framework="numpy") as file:
        assert json.loads(file.metadata()["config"]) == config
        assert file.metadata()["step"] == "10"
    written = load_file(path)
    assert written.keys() == weights.keys()
    assert all(np.array_equal(written[name], weights[name]) for name in weights)


@pytest.mark.slow
def test_a_run_of_an_earlier_version_and_one_without_checkpoints(tmp_path):
    shutil.copy(FROZEN / "1d3d5c7.yaml", tmp_path / "config.yaml")
    run = sx.load_run(tmp_path)
    assert (run.metrics, run.saved_steps) == ([], [])
    assert run.optimum.nats > 0
    with pytest.raises(ValueError, match="has saved no model"):
        run.model()


def test_a_config_that_was_cut_is_reported_and_not_built(tmp_path):
    (tmp_path / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match="`training`: is missing"):
        _ = sx.load_run(tmp_path).generator


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(ConfigError, match="is not a run directory"):
        sx.load_run(tmp_path)
    with pytest.raises(ConfigError, match=r"is not a sweep: it has no sweep/manifest\.json; name the folder"):
        sx.load_sweep(tmp_path)


def test_a_folder_that_is_not_there_is_the_same_error_for_a_run_and_a_sweep(tmp_path):
    for load in (sx.load_run, sx.load_sweep):
        with pytest.raises(ConfigError) as raised:
            load(tmp_path / "nowhere")
        assert str(raised.value) == f"`{tmp_path / 'nowhere'}`: there is no such folder"


def test_fit():
    process = sx.processes.coin(0.3)
    model = sx.models.GRU(2, 1, vocab_size=2, key=jax.random.key(0))
    before = jax.tree.map(np.asarray, eqx.filter(model, eqx.is_array))
    arguments = (model, process, optax.adam(1e-2), 30)
    fitted = sx.fit(*arguments, batch_size=16, sequence_len=8, log_every=20)
    assert [entry["step"] for entry in fitted.history] == [20, 30]
    assert fitted.history[-1]["excess"] == pytest.approx(fitted.history[-1]["loss"] - fitted.optimum.nats)
    # Nothing is donated: the model can be used again, and gives the same.
    assert eqx.tree_equal(jax.tree.map(np.asarray, eqx.filter(model, eqx.is_array)), before)
    again = sx.fit(*arguments, batch_size=16, sequence_len=8, log_every=20)
    assert eqx.tree_equal(again.model, fitted.model)
    other = sx.fit(*arguments, batch_size=16, sequence_len=8, log_every=20, key=jax.random.key(1))
    assert not eqx.tree_equal(other.model, fitted.model)


def test_fit_with_special_tokens_and_a_loss_that_is_not_finite():
    generator = DataGenerator(sx.processes.coin(0.3), "auto", None)
    model = sx.models.GRU(2, 1, vocab_size=3, key=jax.random.key(0))
    with pytest.raises(RuntimeError, match="not finite at step"):
        sx.fit(model, generator, optax.sgd(float("nan")), 10, batch_size=4, sequence_len=8)


def test_a_sweep(make_sweep):
    sweep = make_sweep({"steps": 4}, {"steps": 4})
    opened = sx.load_sweep(sweep.path)
    assert [row["seed"] for row in opened.rows] == [0, 1]
    assert json.loads(json.dumps(opened.rows)) == opened.rows
    assert [run.path.name for run in opened.runs] == ["0", "1"]
