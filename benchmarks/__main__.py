"""One run against a naive one, packs, starts, and a sweep of small runs; with --gpu, on the accelerator.

python -m benchmarks [--gpu] [--record] [--floors]
"""

import argparse
import os
import sys
from dataclasses import asdict

WIDTHS = (10, 10, 8, 8, 12, 9, 9)


def main() -> int:
    """Returns 1 if a floor was asked for and not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--gpu", action="store_true", help="on the accelerator; record benchmarks/results/DEVICE-DATE.json"
    )
    parser.add_argument("--record", action="store_true", help="record the figures of a CPU too")
    parser.add_argument("--floors", action="store_true", help="fail if a ratio is below its floor")
    arguments = parser.parse_args()
    if arguments.gpu:
        # Several processes take turns on it.
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    else:
        os.environ["JAX_PLATFORMS"] = "cpu"
        # The processes that multiply with NumPy inherit this.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"

    import jax

    from .cases import CASES
    from .record import record
    from .training_speed import measure

    device = jax.devices()[0]
    if arguments.gpu and device.platform == "cpu":
        print("no accelerator here: jax sees only the CPU", file=sys.stderr)
        return 1
    cores = len(os.sched_getaffinity(0))
    print(f"{device.device_kind} ({device.platform}), {cores} CPU cores, jax {jax.__version__}\n")
    titles = ("naive/s", "steps/s", "ratio", "floor", "tokens/s", "of GEMM", "of NumPy")
    print(f"{'Adam on mess3':<44}" + "".join(f"{title:>{w}}" for title, w in zip(titles, WIDTHS, strict=True)))
    results = []
    for case in CASES:
        result = measure(case)
        results.append(result)
        floor = "" if result.floor is None else f"{result.floor:.1f}x"
        share = "" if result.shape_share is None else f"{result.shape_share:.0%}"
        print(
            f"{result.name:<44}{result.naive_steps_per_s:>10.1f}{result.steps_per_s:>10.1f}{result.ratio:>7.1f}x"
            f"{floor:>8}{result.tokens_per_s:>12,.0f}{result.gemm_share:>8.0%}{share:>9}",
            flush=True,
        )
    figures: dict = {"training": [asdict(result) for result in results], "packs": _packs(arguments.gpu)}
    if not arguments.gpu:
        figures["startup"] = _startup()
        figures["local_sweep"] = _local_sweep()
    if arguments.gpu or arguments.record:
        record(device.device_kind, {"cpu_cores": cores} | figures)
    below = [result.name for result in results if result.floor and result.ratio < result.floor]
    if arguments.floors and below:
        print(f"below the floor: {', '.join(below)}", file=sys.stderr)
        return 1
    return 0


def _packs(on_gpu: bool) -> list[dict]:
    """Measures and prints packs; one of them on a CPU, where runs in turn are as fast, and none is aimed at."""
    from .packs import PACK_CASES, measure_pack

    # A call beside its steps; and the steps with one kind of kernel or the other, whichever the program chooses.
    kinds = f"{'aim':>8}{'blocks/s':>12}{'sequences/s':>13}" if on_gpu else ""
    print(
        f"\n{'Packs':<44}{'runs':>6}{'alone/s':>10}{'together/s':>12}{'ratio':>8}{'call, µs/run':>14}"
        f"{'validated/s':>13}{'alone':>8}{kinds}"
    )
    results = []
    for pack in PACK_CASES if on_gpu else PACK_CASES[1:2]:
        result = measure_pack(pack)
        results.append(asdict(result))
        aim = f"{result.aim:>7.1f}x" if on_gpu else ""
        kernels = "" if result.by_blocks is None else f"{result.by_blocks:>12.1f}{result.by_sequences:>13.1f}"
        print(
            f"{result.name:<44}{result.num_runs:>6}{result.alone_steps_per_s:>10.1f}{result.steps_per_s:>12.1f}"
            f"{result.ratio:>7.1f}x{result.call_overhead_us:>14,.0f}"
            f"{result.validations_per_s:>13.1f}{result.alone_validations_per_s:>8.1f}{aim}{kernels}",
            flush=True,
        )
    return results


def _startup() -> dict:
    """Measures and prints what a run's start, stop, resume and saves take."""
    from . import startup

    return {model: asdict(times) for model, times in startup.measure_and_print().items()}


def _local_sweep() -> dict:
    """Measures and prints a sweep of small runs."""
    from . import local_sweep

    measured = local_sweep.measure()
    print(f"\n{measured.table()}")
    return asdict(measured) | {"ratio": measured.ratio}


if __name__ == "__main__":
    sys.exit(main())
