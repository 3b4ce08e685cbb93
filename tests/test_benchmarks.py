import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# What a machine with a GPU need not have.
PROGRAM = """
import sys
for name in ("hydra", "matplotlib", "omegaconf", "optuna", "rich", "submitit", "yaml"):
    sys.modules[name] = None
from benchmarks.training_speed import Case, _naive, _ours
from benchmarks import turns
turns.SECONDS_PER_ROUND = 0.02
case = Case(num_layers=1, hidden_size=4, batch_size=4, sequence_len=4, floor=1.0)
print(min(make(case).rate() for make in (_ours, _naive)))
"""


@pytest.mark.slow
def test_the_training_benchmark_needs_little_beside_jax():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0
