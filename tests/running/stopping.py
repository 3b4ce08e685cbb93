"""Runs a real entrypoint that sends itself a signal at an exact point of its course.

    python tests/running/stopping.py PHASE SIGNAL COUNT SCRIPT [OVERRIDE ...]

The signal arrives when PHASE is reached for the COUNT-th time. Everything else is the script as it is.
"""

import importlib.util
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from pathlib import Path

# Where each phase begins: a module, a name in it, and whether the signal comes before or after the call.
PHASES = {
    "compile": ("simplexity.running._compilation", "BackgroundCompilation._compile", "before"),
    "restore": ("simplexity.persistence", "OrbaxCheckpointer.restore", "before"),
    "first_step": ("simplexity.running._records", "FirstStepLogger.progress", "after"),
    "mid_chunk": ("simplexity.persistence", "OrbaxCheckpointer.next_due_step", "after"),
    "save_before_commit": ("simplexity.runs", "move_durably", "before"),
    "save_after_commit": ("simplexity.runs", "move_durably", "after"),
    "validation": ("simplexity.training", "Validation.__call__", "before"),
    "analysis": ("simplexity.analysis", "BeliefRegressor.__call__", "before"),
    "analysis_regressed": ("simplexity.running._analysis", "kl_by_position", "before"),
    "trained": ("simplexity.training", "train", "after"),
    "command": ("simplexity.running._messages", "ToCoordinator.next_command", "before"),
    "completion": ("simplexity.runs", "RunDirectory.mark_complete", "before"),
    "lock_asked": ("simplexity.runs", "RunLock.require_held", "after"),
}
# From when on a phase is counted: how often a start asks for the lock depends on what it finds.
SINCE = {"lock_asked": ("simplexity.loggers", "FileLogger.start", "after")}


MAIN_THREAD = threading.get_ident()


class SignalAtImport(MetaPathFinder):
    """Sends the signal when a module is about to be imported."""

    def __init__(self, module: str, send: Callable[[], None]):
        self._module = module
        self._send = send

    def find_spec(self, fullname, path, target=None) -> None:
        if fullname == self._module:
            self._send()


class PatchAfterImport(MetaPathFinder, Loader):
    """Wraps one function of a module when that module has been imported."""

    def __init__(self, module: str, name: str, when: str, send: Callable[[], None]):
        self._module, self._name, self._when, self._send = module, name, when, send

    def find_spec(self, fullname, path, target=None):
        if fullname != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            self.apply(module)

        spec.loader.exec_module = exec_module
        return spec

    def apply(self, module) -> None:
        *owners, name = self._name.split(".")
        owner = module
        for part in owners:
            owner = getattr(owner, part)
        original = getattr(owner, name)

        def wrapped(*args, **kwargs):
            if self._when == "before":
                self._send()
            result = original(*args, **kwargs)
            if self._when == "after":
                self._send()
            return result

        setattr(owner, name, wrapped)


def call_at(place: tuple[str, str, str], function: Callable[[], None]) -> None:
    """Calls the function before or after each call of what `place` names, now or once its module is imported."""
    module, name, when = place
    patch = PatchAfterImport(module, name, when, function)
    imported = sys.modules.get(module)
    if imported is None:
        sys.meta_path.insert(0, patch)
    else:
        patch.apply(imported)


def main() -> None:
    phase, signal_name, count, script = sys.argv[1:5]
    calls, since = 0, phase not in SINCE

    def begin() -> None:
        nonlocal since
        since = True

    def send() -> None:
        nonlocal calls
        calls += since
        if calls == int(count):
            number = signal.Signals[signal_name]
            # To the main thread, as the kernel delivers it; a killed process does not come back from here.
            signal.pthread_kill(MAIN_THREAD, number)

    if phase == "import":
        sys.meta_path.insert(0, SignalAtImport("jax", send))
    else:
        call_at(PHASES[phase], send)
        if phase in SINCE:
            call_at(SINCE[phase], begin)
    sys.path[0] = str(Path(script).parent)
    sys.argv[:] = [script, *sys.argv[5:]]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
