"""The name of a saved program, by all that it depends on; none where that is not known for certain.

A wrong name would train a wrong program. So a name is given only if all code that a program can come from is known: the
packaged models, processes and optimizers, in files that have not changed since this process has read them. A program
of the user's own code, whose imports and data files are not known here, is traced at each start.
"""

import hashlib
import os
import pickle
import re
import sys
import sysconfig
import time
from collections.abc import Hashable, Iterator
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import jax

import simplexity

_OWN_CODE = Path(simplexity.__file__).parent
# What traces a program, or what its results depend on.
_LIBRARIES = ("jax", "jaxlib", "equinox", "optax", "numpy", "ml_dtypes", "jaxtyping")
_KNOWN = {"simplexity", *_LIBRARIES, *sys.stdlib_module_names} - {"__main__"}
_TARGET = re.compile(r'"_target_": "([^"]*)"')
_KNOWN_TARGET = re.compile(r"(simplexity|optax|jax)\.[\w.]+")
_ENVIRONMENT = ("JAX_", "XLA_", "PJRT_", "EQX_", "TF_")
# A file system may round times, and another machine's clock may be late.
_CLOCKS_DIFFER_S = 5.0


class _UnknownError(Exception):
    """What a program depends on is not known for certain."""


def program_name(key: Hashable) -> str | None:
    """The name under which a program is saved.

    Args:
        key: All that the program depends on, but for the code, the devices and the settings of this process.

    Returns:
        The name; None if the program must not be saved, or not be loaded.
    """
    try:
        _require_known_modules()
        # Elsewhere it has not been tried whether what is loaded runs.
        if jax.default_backend() != "cpu" or jax.process_count() > 1:
            return None
        digest = hashlib.sha256(_code().encode())
        digest.update(_circumstances().encode())
        for part in _parts(key):
            digest.update(_pickled(part))
    except Exception:  # whatever an unknown object does when it is pickled
        return None
    return f"program-{digest.hexdigest()}"


def _require_known_modules() -> None:
    """Raises if a module was imported that is neither installed nor of this package: it may have replaced anything."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(module, ModuleType) and isinstance(file, str) and not _is_known_file(file):
            raise _UnknownError(name)


@cache
def _is_known_file(file: str) -> bool:
    return os.path.abspath(file).startswith(_known_folders())


@cache
def _known_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")]
    # The plugins lie beside the package in a checkout.
    folders += [str(_OWN_CODE), str(_OWN_CODE.parent / "hydra_plugins")]
    return tuple(os.path.join(os.path.abspath(folder), "") for folder in folders)


@cache  # before long: a process computes by the code that it has imported, whatever becomes of the files
def _code() -> str:
    """Of the package the content of its files; of the libraries, which are greater, their sizes and times.

    Raises:
        _UnknownError: If a file has changed since this process began, which may have read it before.
    """
    digest = hashlib.sha256(sys.version.encode())
    newest_s = 0.0
    for path in sorted(_OWN_CODE.rglob("*.py")):
        digest.update(f"{path.relative_to(_OWN_CODE)} {path.stat().st_size} ".encode() + path.read_bytes())
        newest_s = max(newest_s, path.stat().st_mtime)
    for library in _LIBRARIES:
        spec = find_spec(library)
        if spec is None or not spec.submodule_search_locations:
            raise _UnknownError(library)
        for entry in _files(spec.submodule_search_locations[0]):
            status = entry.stat()
            digest.update(f"{entry.path} {status.st_size} {status.st_mtime_ns}".encode())
            newest_s = max(newest_s, status.st_mtime)
    if newest_s > _began_s() - _CLOCKS_DIFFER_S:
        raise _UnknownError("a file has changed")
    return digest.hexdigest()


def _files(folder: str) -> Iterator[os.DirEntry[str]]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir():
            if entry.name not in ("__pycache__", "tests"):
                yield from _files(entry.path)
        elif entry.name.endswith((".py", ".so")):
            yield entry


def _began_s() -> float:
    """When this process began, by the clock: it has run for as long as its first thread at most."""
    with open("/proc/self/stat") as stat:
        ticks = int(stat.read().rpartition(")")[2].split()[19])
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))


def _circumstances() -> str:
    """The devices, and what the environment and JAX's settings tell JAX and XLA."""
    devices = [f"{device.platform} {device.device_kind} {device.id}" for device in jax.devices()]
    environment = sorted(item for item in os.environ.items() if item[0].startswith(_ENVIRONMENT))
    settings = sorted(jax.config.values.items())  # pyright: ignore[reportAttributeAccessIssue]
    return repr((devices, jax.devices()[0].client.platform_version, environment, settings))


def _parts(key: Any) -> Iterator[Any]:
    """The parts of a key, each pickled for itself: two equal objects are pickled unlike one that is there twice."""
    if type(key) is tuple:
        yield "tuple", len(key)
        for part in key:
            yield from _parts(part)
    elif isinstance(key, jax.tree_util.PyTreeDef):
        children = key.children()
        yield "structure", len(children)
        yield from _parts(key.node_data())
        for child in children:
            yield from _parts(child)
    elif isinstance(key, jax.Device):
        yield "device", key.platform, key.id
    elif isinstance(key, str) and not all(map(_KNOWN_TARGET.fullmatch, _TARGET.findall(key))):
        raise _UnknownError(key)
    else:
        yield key


def _pickled(part: Any) -> bytes:
    stream = BytesIO()
    _KeyPickler(stream).dump(part)
    return stream.getvalue()


class _KeyPickler(pickle.Pickler):
    """Pickles objects of known classes, and functions by the names that they have in known modules."""

    def reducer_override(self, obj: Any) -> Any:
        for of in (type(obj), obj):
            module = getattr(of, "__module__", None)
            if module is not None and str(module).partition(".")[0] not in _KNOWN:
                raise _UnknownError(module)
        return NotImplemented
