"""Recorded figures: a JSON file per machine and day, with what they depend on."""

import datetime
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy")


def record(name: str, figures: dict) -> None:
    """Writes `figures` into benchmarks/results/NAME-DATE.json, with the machine and the versions of the packages."""
    import jax

    device = jax.devices()[0]
    facts = {
        "device": device.device_kind,
        "platform": device.platform,
        "platform_version": device.client.platform_version,
        "processor": _processor(),
        "load": round(os.getloadavg()[2], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    path = _path(name)
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts | figures, indent=1) + "\n")
    print(f"\nrecorded in {path.relative_to(Path.cwd())}")


def recorded(name: str) -> dict:
    """What `record` wrote under that name today; empty if it wrote nothing."""
    path = _path(name)
    return json.loads(path.read_text()) if path.exists() else {}


def _path(name: str) -> Path:
    return RESULTS / f"{name.replace(' ', '-')}-{datetime.date.today().isoformat()}.json"


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
