import os

import pytest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "lock"


@pytest.fixture(autouse=True)
def _outside_slurm(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)
