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
from benchmarks.cases import Case
from benchmarks.training_speed import _naive, _ours, _own_products
from benchmarks import turns
turns.SECONDS_PER_ROUND = 0.02
size = dict(num_layers=1, hidden_size=4, batch_size=4, sequence_len=4, floor=1.0, num_heads=2, head_size=2)
cases = [Case(kind, **size) for kind in ("GRU", "LSTM", "RNN", "transformer")]
print(min(make(case).rate() for case in cases for make in (_ours, _naive, _own_products)))
"""


@pytest.mark.slow
def test_the_training_benchmark_needs_little_beside_jax():
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0
