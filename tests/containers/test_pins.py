"""The CUDA image's dependencies are pinned even where it is never built."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.mark.container
@pytest.mark.slow
def test_everything_that_cuda12_needs_resolves_and_is_pinned(tmp_path: Path):
    pinned = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (CHECKOUT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    report = tmp_path / "report.json"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report),
         "--constraint", str(CHECKOUT / "constraints.txt"), f"{CHECKOUT}[cuda12]"],
        check=True,
        timeout=500,
    )  # fmt: skip
    names = {entry["metadata"]["name"] for entry in json.loads(report.read_text())["install"]} - {"simplexity"}
    resolved = {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    assert "jax-cuda12-plugin" in resolved
    assert resolved <= pinned
