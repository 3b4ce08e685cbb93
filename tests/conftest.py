"""Every test runs with the shapes and types of the annotations checked at run time."""

import os

# Before jax is imported: tests run on the CPU even where there is an accelerator (GPU tests are subprocesses).
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from jaxtyping import install_import_hook

install_import_hook("simplexity", "beartype.beartype")
