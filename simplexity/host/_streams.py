"""The standard streams of a process that was started without them."""

import os
import sys


def open_missing_streams() -> None:
    """Opens standard output and standard error where the process was started without them, as by `>&-`.

    Python then has None in their place, which whatever prints would fail on. What is written to the new ones is
    discarded. Call it before any other file is opened: one of them would get the stream's number, and what libraries
    print to that number would be written into it.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # It is open until the process ends.
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
