"""Steps against PyTorch, eager and compiled, a plain Equinox loop, and NumPy's products, on one core of a CPU.

python -m benchmarks.peers [--torch PYTHON] [--rounds N] [--record] [--floors] [CASE ...]
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from .cases import PEER_CASES, Case
from .numpy_products import own_products
from .record import record, recorded
from .turns import ForeignLoop, Loop, Rates

ROUNDS = 7
TORCH_PYTHON = Path(".venv-torch/bin/python")
TORCH_LOOPS = ("PyTorch", "torch.compile")
PRODUCTS = "NumPy's products"

MakeLoop = Callable[[Case], AbstractContextManager[Loop | ForeignLoop]]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is: the median over the rounds, and the first and third quartile."""

    median: float
    quartiles: tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Another loop: its milliseconds per step, and our speed over its own, per second of CPU time and of wall time."""

    cpu_milliseconds: float
    cpu_ratio: Ratio
    wall_ratio: Ratio


@dataclass(frozen=True)
class PeerResult:
    """Figures of one case: our milliseconds per step, and the other loops by their names.

    The ratio to `PRODUCTS` is the share of our time that NumPy needs for the step's matrix products alone.
    """

    name: str
    gflop: float
    floor: float | None
    product_floor: float | None
    cpu_milliseconds: float
    wall_milliseconds: float
    others: dict[str, Comparison]

    @property
    def is_below_floor(self) -> bool:
        """Whether ours misses the floor against the better of both PyTorch loops, or that of the matrix products."""
        floors = dict.fromkeys(TORCH_LOOPS, self.floor) | {PRODUCTS: self.product_floor}
        return any(other.cpu_ratio.median < (floors.get(name) or 0.0) for name, other in self.others.items())

    def rows(self) -> list[str]:
        """What the table says of it: a line per loop."""
        floor = "" if self.floor is None else f", floor {self.floor:.1f}x PyTorch"
        floor += "" if self.product_floor is None else f", {self.product_floor:.2f}x {PRODUCTS}"
        lines = [f"{self.name}: {self.cpu_milliseconds:.2f} ms of CPU per step, {self.gflop:.3f} GFLOP{floor}"]
        for name, other in self.others.items():
            low, high = other.cpu_ratio.quartiles
            lines.append(
                f"  {name:<17}{other.cpu_milliseconds:>9.2f} ms{other.cpu_ratio.median:>7.2f}x per CPU-second"
                f" ({low:.2f} to {high:.2f}){other.wall_ratio.median:>8.2f}x in time"
            )
        return lines


def measure(case: Case, ours: MakeLoop, others: dict[str, MakeLoop], num_rounds: int = ROUNDS) -> PeerResult:
    """Measures one case. All loops take turns, so that a machine that others use slows all of them alike."""
    with ExitStack() as stack:
        loops = [stack.enter_context(make(case)) for make in (ours, *others.values())]
        rounds = [[loop.rates() for loop in loops] for _ in range(num_rounds)]
    by_loop = list(zip(*rounds, strict=True))
    return PeerResult(
        name=case.name,
        gflop=case.flops_per_step / 1e9,
        floor=case.peer_floor,
        product_floor=case.product_floor,
        cpu_milliseconds=1e3 / statistics.median(rates.per_cpu_second for rates in by_loop[0]),
        wall_milliseconds=1e3 / statistics.median(rates.per_second for rates in by_loop[0]),
        others={name: _comparison(by_loop[0], rates) for name, rates in zip(others, by_loop[1:], strict=True)},
    )


def our_loop(case: Case) -> Loop:
    """The loop of this project."""
    from .training_speed import compiled_loop

    return Loop(compiled_loop, case)


def equinox_loop(case: Case) -> Loop:
    """The loop of `naive.py`."""
    from .training_speed import naive_loop

    return Loop(naive_loop, case)


def products_loop(case: Case) -> Loop:
    """The step's matrix products in NumPy, and nothing else."""
    return Loop(own_products, case)


def torch_loops(python: Path) -> dict[str, MakeLoop]:
    """PyTorch's loops, eager and compiled, as that Python runs them."""

    def maker(compiled: bool) -> MakeLoop:
        return lambda case: ForeignLoop(
            str(python), "benchmarks.torch_loop", {"case": asdict(case), "compiled": compiled}
        )

    return dict(zip(TORCH_LOOPS, (maker(False), maker(True)), strict=True))


def why_without_torch(python: Path) -> str | None:
    """Why that Python has no PyTorch, in one line; None if it has."""
    if not python.exists():
        return f"there is no {python}: make bench-peers makes it"
    done = subprocess.run([python, "-c", "import torch"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"{python} has no PyTorch: {done.stderr.strip().splitlines()[-1]}"


def _comparison(ours: Sequence[Rates], theirs: Sequence[Rates]) -> Comparison:
    def ratio(rate_of: Callable[[Rates], float]) -> Ratio:
        values = [rate_of(a) / rate_of(b) for a, b in zip(ours, theirs, strict=True)]
        first, median, third = statistics.quantiles(values, n=4, method="inclusive")
        return Ratio(median, (first, third))

    milliseconds = 1e3 / statistics.median(rates.per_cpu_second for rates in theirs)
    return Comparison(milliseconds, ratio(lambda rates: rates.per_cpu_second), ratio(lambda rates: rates.per_second))


def main() -> int:
    """Returns 1 if a floor was asked for and not reached, or if the floors could not be compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--torch", type=Path, default=TORCH_PYTHON, help="a Python that has PyTorch")
    parser.add_argument("--record", action="store_true", help="record the figures in benchmarks/results")
    parser.add_argument("--floors", action="store_true", help="fail if a ratio to PyTorch is below its floor")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each loop")
    parser.add_argument("case", nargs="*", help="only cases whose names begin so; without any, all")
    arguments = parser.parse_args()
    # One thread each: all loops inherit one core, and those of JAX see no other.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["JAX_PLATFORMS"] = "cpu"
    others: dict[str, MakeLoop] = {"Equinox": equinox_loop, PRODUCTS: products_loop}
    if (reason := why_without_torch(arguments.torch)) is None:
        others = torch_loops(arguments.torch) | others
    else:
        print(f"without PyTorch: {reason}", file=sys.stderr)
        if arguments.floors:
            return 1
    chosen = tuple(arguments.case) or ("",)
    results = []
    print("How many times as fast ours is, one thread each: medians and quartiles of the rounds\n")
    for case in PEER_CASES:
        if case.name.startswith(chosen):
            results.append(measure(case, our_loop, others, arguments.rounds))
            print("\n".join(results[-1].rows()), flush=True)
    if arguments.record and reason is not None:
        print("not recorded: PyTorch's figures would be lost", file=sys.stderr)
    elif arguments.record:
        # Rows that were measured one by one on the same day are one record.
        rows = {row["name"]: row for row in recorded("peers").get("peers", [])}
        rows |= {result.name: asdict(result) for result in results}
        figures: dict = {"peers": [rows[case.name] for case in PEER_CASES if case.name in rows]}
        command = [arguments.torch, "-c", "import torch; print(torch.__version__)"]
        figures["torch"] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        record("peers", figures)
    below = [result.name for result in results if result.is_below_floor]
    if arguments.floors and below:
        print(f"below the floor: {'; '.join(below)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
