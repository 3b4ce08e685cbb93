"""Compiled programs that later processes load, without tracing them: files beside those of JAX's compiler.

JAX's own cache saves the compiler's work, but its key is the lowered program: each start would trace and lower all
programs to find them there, which takes longer than all other computations of a start. So a program is also saved
under a name that is known before it is traced (`_program_names.py`), with what JAX needs to call it.

Whatever goes wrong here costs only time: then the program is traced and compiled.
"""

import io
import pickle
import zlib
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any

import jax

from ._private_jax import cache_in_use, pickled_executable
from ._program import ArrayPlace, Program
from ._program_names import program_name


def saved_program(key: Hashable, compiled: Callable[[], Program], devices: Sequence[Any] | None = None) -> Program:
    """The program of `key`: loaded if it was saved, else compiled and saved.

    Args:
        key: All that the program depends on, but for the code, the devices and the settings of this process.
        compiled: Traces and compiles it.
        devices: Those that it runs on; None for the first.
    """
    cache = cache_in_use()
    name = None if cache is None else program_name(key)
    if cache is None or name is None:
        return compiled()
    # Whatever is wrong with a file, or with its being read by this version of JAX.
    with suppress(Exception):
        if (content := cache.files.get(name)) is not None:
            return _unpacked(content, devices or jax.devices()[:1])
    program = compiled()
    with suppress(Exception):
        if program.executable is not None:
            cache.files.put(name, _packed(program, program.executable))
    program.executable = None  # megabytes, of which a process may keep dozens
    return program


def _packed(program: Program, executable: bytes) -> bytes:
    num_arrays = len(jax.tree.leaves(program.compiled.args_info))
    content = pickle.dumps((pickled_executable(program.compiled, executable), num_arrays, program.result))
    return zlib.compress(content, level=1)


def _unpacked(content: bytes, devices: Sequence[Any]) -> Program:
    from jax.experimental.serialize_executable import deserialize_and_load

    executable, num_arrays, result = pickle.load(io.BytesIO(zlib.decompress(content)))
    num_results = sum(isinstance(leaf, ArrayPlace) for leaf in jax.tree.leaves(result))
    arguments = jax.tree.structure(((0,) * num_arrays, {}))
    results = jax.tree.structure([0] * num_results)
    return Program(
        deserialize_and_load(executable, arguments, results, devices[0].client, execution_devices=devices), result
    )
