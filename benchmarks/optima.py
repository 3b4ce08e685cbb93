"""The optima of all packaged processes and of all mixtures of two of them, their stated errors, and their CPU seconds.

python -m benchmarks.optima [--length N] [--alone] [--part I/N] [--record]
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from datetime import date

from benchmarks.commands import RESULTS, record
from simplexity.generative_processes import DataGenerator, GenerativeProcess, loss_optimum, nonergodic
from simplexity.process_table import packaged_processes

# A trained model's excess, in nats per token: an error must not be taken for it.
WANTED_ERROR = 1e-4
# Of one process.
WANTED_CPU_S = 10.0


def main() -> int:
    """Returns 1 if an error is greater than is wanted, or one process takes longer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optima", description=__doc__)
    parser.add_argument("--length", type=int, default=64, help="targets per sequence")
    parser.add_argument("--alone", action="store_true", help="no mixtures")
    parser.add_argument("--part", type=part, default=(1, 1), metavar="I/N", help="one of N parts of the table, from 1")
    parser.add_argument("--record", action="store_true", help="add to benchmarks/results/optima-LENGTH-DATE.json")
    arguments = parser.parse_args()
    number, num_parts = arguments.part
    figures = {}
    print(f"{'':40}{'optimum':>10}{'error':>10}{'CPU s':>9}")
    for name, process in itertools.islice(cases(arguments.alone), number - 1, None, num_parts):
        started = time.process_time()
        optimum = loss_optimum(DataGenerator(process, None, None), arguments.length)
        cpu_s = time.process_time() - started
        figures[name] = {"nats": optimum.nats, "error_nats": optimum.error_nats, "cpu_s": round(cpu_s, 3)}
        print(f"{name:40}{optimum.nats:>10.6f}{optimum.error_nats:>10.1e}{cpu_s:>9.2f}", flush=True)
    if arguments.record:
        add_to_record(arguments.length, figures)
    # A part may have mixtures alone, or nothing.
    worst = max((row["error_nats"] for row in figures.values()), default=0.0)
    slowest = max((row["cpu_s"] for name, row in figures.items() if " + " not in name), default=0.0)
    print(f"greatest error {worst:.1e}, wanted below {WANTED_ERROR:.0e}")
    print(f"slowest process {slowest:.1f} s, wanted below {WANTED_CPU_S:.0f}")
    return int(worst >= WANTED_ERROR or slowest >= WANTED_CPU_S)


def cases(alone: bool) -> Iterator[tuple[str, GenerativeProcess]]:
    """All packaged processes by name, and all mixtures of two of them."""
    processes = {named.name: named.process for named in packaged_processes()}
    yield from processes.items()
    for first, second in itertools.combinations(processes, 2) if not alone else ():
        yield f"{first} + {second}", mixture(processes[first], processes[second])


def mixture(*processes: GenerativeProcess) -> GenerativeProcess:
    """In equal parts, over the same tokens."""
    vocab_maps = [range(process.vocab_size) for process in processes]
    return nonergodic(processes, [1 / len(processes)] * len(processes), vocab_maps)


def part(text: str) -> tuple[int, int]:
    """`I/N` as numbers."""
    number, _, num_parts = text.partition("/")
    if not 1 <= int(number) <= int(num_parts):
        raise ValueError
    return int(number), int(num_parts)


def add_to_record(length: int, figures: dict[str, dict[str, float]]) -> None:
    """Adds to what other parts have recorded on the same day."""
    name = f"optima-{length}-{date.today().isoformat()}"
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text())["optima"] if path.exists() else {}
    record(name, {"length": length, "optima": before | figures})


if __name__ == "__main__":
    raise SystemExit(main())
