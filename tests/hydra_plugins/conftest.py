"""What the tests of the launcher for SLURM share."""

import shutil
import sys

import pytest

from simplexity import sweeps
from tests.running.program import call_program


@pytest.fixture
def start_on_slurm(tmp_path, monkeypatch):
    """Runs train_model with --multirun hydra/launcher=slurm in an empty current folder, where there is no sbatch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMPLEXITY_CONFIGS", raising=False)
    monkeypatch.delenv("SIMPLEXITY_CLUSTER", raising=False)
    monkeypatch.setattr(sys, "argv", ["train_model.py"])
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "sbatch" else which(name))
    return lambda *arguments: call_program("train_model", "--multirun", "hydra/launcher=slurm", *arguments)


@pytest.fixture
def submitted(monkeypatch):
    """The launches that are submitted, to an sbatch that takes everything."""
    from hydra_plugins.simplexity_launcher import _slurm_batch

    launches = []
    monkeypatch.setattr(sweeps, "require_slurm", lambda: None)
    monkeypatch.setattr(
        _slurm_batch, "submit_runs", lambda sweep, manifest, indices: launches.append(manifest.launch) or ["1"]
    )
    return launches
