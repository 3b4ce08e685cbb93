"""Steps against PyTorch, eager and compiled, and against a plain Equinox loop, on one core of a CPU.

python -m benchmarks.peers [--torch PYTHON] [--record] [--floors] [CASE ...]
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from .cases import PEER_CASES, Case
from .record import record
from .turns import ForeignLoop, Loop, Rates

ROUNDS = 7
TORCH_PYTHON = Path(".venv-torch/bin/python")
TORCH_LOOPS = ("PyTorch", "torch.compile")

MakeLoop = Callable[[Case], AbstractContextManager[Loop | ForeignLoop]]


@dataclass(frozen=True)
class Ratio:
    """How many times as fast ours is: the median over the rounds, and the first and third quartile."""

    median: float
    quartiles: tuple[float, float]


@dataclass(frozen=True)
class PeerResult:
    """Figures of one case. `milliseconds` per step of ours, and the ratios, by the name of the other loop."""

    name: str
    floor: float | None
    cpu_milliseconds: float
    wall_milliseconds: float
    cpu_ratios: dict[str, Ratio]
    wall_ratios: dict[str, Ratio]

    @property
    def is_below_floor(self) -> bool:
        """Whether ours misses the floor against the better of both PyTorch loops."""
        ratios = [self.cpu_ratios[name].median for name in TORCH_LOOPS if name in self.cpu_ratios]
        return self.floor is not None and bool(ratios) and min(ratios) < self.floor

    def rows(self) -> list[str]:
        """What the table says of it: a line per loop."""
        floor = "" if self.floor is None else f", floor {self.floor:.1f}x PyTorch"
        lines = [f"{self.name}: {self.cpu_milliseconds:.2f} ms of CPU per step{floor}"]
        for name, cpu in self.cpu_ratios.items():
            wall = self.wall_ratios[name]
            low, high = cpu.quartiles
            lines.append(
                f"  {name:<16}{cpu.median:>7.2f}x per CPU-second ({low:.2f} to {high:.2f}){wall.median:>8.2f}x in time"
            )
        return lines


def measure(case: Case, ours: MakeLoop, others: dict[str, MakeLoop], num_rounds: int = ROUNDS) -> PeerResult:
    """Measures one case. All loops take turns, so that a machine that others use slows all of them alike."""
    with ExitStack() as stack:
        loops = [stack.enter_context(make(case)) for make in (ours, *others.values())]
        rounds = [[loop.rates() for loop in loops] for _ in range(num_rounds)]
    return PeerResult(
        name=case.name,
        floor=case.peer_floor,
        cpu_milliseconds=1e3 / statistics.median(rates[0].per_cpu_second for rates in rounds),
        wall_milliseconds=1e3 / statistics.median(rates[0].per_second for rates in rounds),
        cpu_ratios=_ratios(rounds, others, lambda rates: rates.per_cpu_second),
        wall_ratios=_ratios(rounds, others, lambda rates: rates.per_second),
    )


def our_loop(case: Case) -> Loop:
    """The loop of this project."""
    from .training_speed import compiled_loop

    return Loop(compiled_loop, case)


def equinox_loop(case: Case) -> Loop:
    """The loop of `naive.py`."""
    from .training_speed import naive_loop

    return Loop(naive_loop, case)


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


def _ratios(
    rounds: list[list[Rates]], others: dict[str, MakeLoop], rate_of: Callable[[Rates], float]
) -> dict[str, Ratio]:
    ratios = {}
    for index, name in enumerate(others, start=1):
        values = [rate_of(rates[0]) / rate_of(rates[index]) for rates in rounds]
        first, median, third = statistics.quantiles(values, n=4, method="inclusive")
        ratios[name] = Ratio(median, (first, third))
    return ratios


def main() -> int:
    """Returns 1 if a floor was asked for and not reached, or if the floors could not be compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--torch", type=Path, default=TORCH_PYTHON, help="a Python that has PyTorch")
    parser.add_argument("--record", action="store_true", help="record the figures in benchmarks/results")
    parser.add_argument("--floors", action="store_true", help="fail if a ratio to PyTorch is below its floor")
    parser.add_argument("case", nargs="*", help="only cases whose names begin so; without any, all")
    arguments = parser.parse_args()
    # One thread each: all loops inherit one core, and those of JAX see no other.
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ["JAX_PLATFORMS"] = "cpu"
    others: dict[str, MakeLoop] = {"Equinox": equinox_loop}
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
            results.append(measure(case, our_loop, others))
            print("\n".join(results[-1].rows()), flush=True)
    if arguments.record:
        figures: dict = {"peers": [asdict(result) for result in results]}
        if reason is None:
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
