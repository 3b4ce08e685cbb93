"""The benchmarks at a tiny size."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks import optima, record, snapshots, startup
from benchmarks.cases import Case
from benchmarks.peers import (
    PRODUCTS,
    TORCH_PYTHON,
    PeerResult,
    equinox_loop,
    measure,
    our_loop,
    products_loop,
    torch_loops,
    why_without_torch,
)
from benchmarks.turns import Rates
from simplexity.generative_processes import coin
from simplexity.persistence import SnapshotSchedule
from tests.compilation import QUICK_FLAGS

ROOT = Path(__file__).parent.parent
# What a machine with a GPU need not have.
PROGRAM = """
import sys
for name in ("hydra", "matplotlib", "omegaconf", "optuna", "rich", "submitit", "yaml"):
    sys.modules[name] = None
from benchmarks.cases import Case
from benchmarks.training_speed import compiled_loop, naive_loop
from benchmarks.numpy_products import own_products
from benchmarks import turns
turns.SECONDS_PER_ROUND = 0.02
size = dict(num_layers=1, hidden_size=4, batch_size=4, sequence_len=4, num_heads=2, head_size=2)
cases = [Case(kind, **size) for kind in ("GRU", "LSTM", "RNN", "transformer")]
from benchmarks import packs
from benchmarks.packs import PackCase, pack_of_runs, validations, validations_alone
packs._VALIDATION = packs.ValidationSettings(1, 4, 9)
assert all(pack_of_runs(PackCase(case, 3, 1.0)).rates().per_second > 0 for case in cases[::3])
both = validations(PackCase(cases[0], 3, 1.0)), validations_alone(cases[0])
assert all(work.rates().per_second > 0 for work in both)
print(min(make(case).rates().per_second for case in cases for make in (compiled_loop, naive_loop, own_products)))
"""


@pytest.mark.slow
def test_the_training_benchmark_needs_little_beside_jax():
    # What the rates are does not matter here, and programs that are not optimised are compiled sooner.
    quick = {"XLA_FLAGS": QUICK_FLAGS, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | quick, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0


class _Recorded:
    """A loop whose rates are known: `rates` per second, twice as many per second of CPU."""

    def __init__(self, *rates: float):
        self._rates = iter(rates)

    def rates(self) -> Rates:
        rate = next(self._rates)
        return Rates(rate, 2 * rate)


def test_rows_of_peers_are_medians_and_quartiles_of_the_ratios_of_each_round() -> None:
    case = Case("GRU", 1, 4, 4, 4, peer_floor=2.5, product_floor=0.75)
    loops = {"PyTorch": (10, 10, 10), "torch.compile": (5, 10, 20), "Equinox": (1, 1, 1), PRODUCTS: (40, 40, 40)}
    result = _measured(case, (20, 30, 40), loops)
    assert result.rows() == [
        "GRU 1x4, batch 4, length 4: 16.67 ms of CPU per step, 0.000 GFLOP, floor 2.5x PyTorch, 0.75x NumPy's products",
        "  PyTorch              50.00 ms   3.00x per CPU-second (2.50 to 3.50)    3.00x in time",
        "  torch.compile        50.00 ms   3.00x per CPU-second (2.50 to 3.50)    3.00x in time",
        "  Equinox             500.00 ms  30.00x per CPU-second (25.00 to 35.00)   30.00x in time",
        "  NumPy's products     12.50 ms   0.75x per CPU-second (0.62 to 0.88)    0.75x in time",
    ]
    assert not result.is_below_floor
    assert _measured(case, (20, 20, 20), {"PyTorch": (10, 10, 10)}).is_below_floor
    assert _measured(case, (29, 29, 29), {PRODUCTS: (40, 40, 40)}).is_below_floor
    assert not _measured(Case("GRU", 1, 4, 4, 4), (1, 1, 1), {"PyTorch": (10, 10, 10)}).is_below_floor
    json.dumps(asdict(result))


def _measured(case: Case, ours: tuple[int, ...], others: dict[str, tuple[int, ...]]) -> PeerResult:
    makers = {name: lambda case, rates=rates: nullcontext(_Recorded(*rates)) for name, rates in others.items()}
    return measure(case, lambda case: nullcontext(_Recorded(*ours)), makers, num_rounds=len(ours))


def test_the_products_of_attention_leave_out_blocks_of_later_keys() -> None:
    short, long = (
        Case("transformer", 1, 8, batch_size=2, sequence_len=length, num_heads=1, head_size=4) for length in (100, 1024)
    )
    # Per token: the maps of 8 units to 3 x 4, 4 to 8, 8 to 32 and 32 to 8, and two products of 4 by the keys.
    maps = 8 * 12 + 4 * 8 + 2 * 8 * 32
    assert short.flops_per_step == 3 * 2 * 2 * 100 * (maps + 2 * 4 * 100)
    assert long.flops_per_step == 3 * 2 * 2 * 1024 * (maps + 2 * 4 * (1024 + 128) / 2)


def test_rows_measured_on_one_day_are_one_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    assert record.recorded("peers") == {}
    record.record("peers", {"peers": [1]})
    assert record.recorded("peers")["peers"] == [1]


def test_without_pytorch_the_reason_is_one_line(tmp_path: Path) -> None:
    assert "make bench-peers makes it" in str(why_without_torch(tmp_path / "python"))
    assert why_without_torch(Path(sys.executable)) is None or "No module named 'torch'" in str(
        why_without_torch(Path(sys.executable))
    )


@pytest.mark.slow
def test_the_loops_of_peers_take_turns_at_a_tiny_size(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_python = ROOT / TORCH_PYTHON
    if (reason := why_without_torch(torch_python)) is not None:
        pytest.skip(reason)
    monkeypatch.chdir(ROOT)
    eager = dict([next(iter(torch_loops(torch_python).items()))])
    for kind in ("LSTM", "transformer"):
        case = Case(kind, 1, 4, 4, 4, num_heads=2, head_size=2)
        result = measure(case, our_loop, eager | {"Equinox": equinox_loop, PRODUCTS: products_loop}, num_rounds=2)
        assert all(other.cpu_ratio.median > 0 for other in result.others.values())


def test_starts_are_measured_and_printed_for_each_model(monkeypatch, capsys):
    monkeypatch.setattr(startup, "_saving_percent", lambda run_dir: 0.03)
    # A cold start takes 9 s and 8 of CPU, a warm one a third, a resumed one 2 s; each exits 0.7 s after the signal.
    times = {"cold": (9.0, 8.0, 0.7), 0: (3.0, 2.5, 0.7), 1: (2.0, 1.5, 0.7)}
    models = []

    def start(model, run_dir, cache, started_before):
        models.append(model)
        return times["cold" if run_dir.name == "cold" else started_before]

    monkeypatch.setattr(startup, "_try", start)
    measured = startup.measure_and_print()
    assert list(measured) == ["gru", "transformer"]
    assert models == [model for model in measured for _ in range(1 + 2 * startup.TRIES)]
    assert measured["transformer"] == startup.Startup(9.0, 8.0, 3.0, 2.5, 0.7, 2.0, 0.03)
    assert "start to first step, warm cache: 3.00 s, 2.50 s of CPU" in capsys.readouterr().out


def test_what_snapshots_cost_is_the_difference_of_each_turn(monkeypatch, capsys):
    costs = iter([snapshots.Cost(1.0, 9.0), snapshots.Cost(10.0, 20.0), snapshots.Cost(10.101, 20.202)])
    monkeypatch.setattr(snapshots, "cost_of", lambda run_dir, overrides: next(costs))
    schedules = {"per_decade=10": SnapshotSchedule(per_decade=10), "every=10": SnapshotSchedule(10)}
    case = snapshots.Case([], num_steps=1_000, every=10, used_steps=2_000, schedules=schedules)
    # Of the schedule that is held to a limit, not of the dearest.
    assert snapshots.report("tiny", case, 1) == pytest.approx(100 * 33 * 1e-3 / 20)
    _, wall, cpu, *shares = capsys.readouterr().out.splitlines()
    assert wall.split()[-3:] == ["10.00", "10.10", "1.00"]
    assert cpu.split()[-3:] == ["20.00", "20.20", "2.00"]
    assert [line.split()[1] for line in shares] == ["33", "201"]


@pytest.mark.parametrize("named", [[], ["a + b"]], ids=["none", "mixtures alone"])
def test_a_part_of_the_optima_without_a_packaged_process_is_recorded(named, monkeypatch):
    recorded = []
    monkeypatch.setattr(optima, "cases", lambda alone: ((name, coin(0.3)) for name in ["a", *named]))
    monkeypatch.setattr(optima, "add_to_record", lambda length, figures: recorded.extend(figures))
    monkeypatch.setattr(sys, "argv", ["optima", "--length", "2", "--part", "2/2", "--record"])
    assert optima.main() == 0
    assert recorded == named
