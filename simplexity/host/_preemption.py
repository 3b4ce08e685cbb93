"""Signals that announce the end of a job, turned into a flag that the program checks between its steps."""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any

PREEMPTION_SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
# A program that was started with these ignored is meant to continue: nohup ignores SIGHUP, and a shell ignores SIGINT
# for a job in the background.
_MAY_BE_IGNORED = (signal.SIGHUP, signal.SIGINT)
_POLL_S = 0.05
# One press of Ctrl-C can arrive twice: from the terminal and from a wrapper (srun, uv run) that passes it on.
_SAME_PRESS_S = 0.2
_SHOW_CURSOR = b"\x1b[?25h"


class _Request:
    """The first request to stop, which all runs of the process obey."""

    def __init__(self):
        self.reason: str | None = None
        self.at_s: float | None = None


class PreemptionGuard:
    """Turns the signals that announce the end of a job into a flag that the program checks between steps.

    A handler does nothing but set the flag: exiting from within a handler, while a checkpoint is being written, loses
    the checkpoint. A signal may arrive any number of times. Ctrl-C sets the flag too; pressed again, it ends the
    process at once, as it would without a guard. A forked child ignores the signals: its parent decides.

    Use it as a context manager, in the main thread. After another library has set handlers of its own (submitit
    does), call `install` again. Before exiting with an exit code that must arrive, call `ignore`.

    Args:
        signals: Signals that request a stop; SIGINT is watched as well. SIGHUP, which a dropped connection sends, and
            SIGINT stay ignored if they were ignored before.
        resume_command: The command that Ctrl-C prints, with which the run continues later; may be set later.

    Attributes:
        saves: Whether the program saves before it ends, for the message of Ctrl-C; may be set later.
        message_descriptor: Where that message is written; may be set later by a program that redirects its output.
    """

    def __init__(self, signals: Sequence[signal.Signals] = PREEMPTION_SIGNALS, *, resume_command: str = ""):
        self.resume_command = resume_command
        self.saves = True
        self.message_descriptor = 2
        self._signals = tuple(signals)
        self._found: dict[signal.Signals, Any] = {}
        self._pid = os.getpid()
        self._request = _Request()
        self._interrupted_at_s: float | None = None

    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self._request.reason is not None

    def request(self, reason: str) -> None:
        """Asks the process to stop, as a signal does; the first reason stays."""
        if self._request.reason is None:
            self._request.at_s = time.monotonic()
            self._request.reason = reason

    @property
    def reason(self) -> str | None:
        """The name of the first signal ("SIGUSR2"), or "interrupt" for Ctrl-C; None while there was none."""
        return self._request.reason

    @property
    def requested_at_s(self) -> float | None:
        """When the first signal was handled, on the clock of `time.monotonic`; None while there was none."""
        return self._request.at_s

    def for_run(self) -> "PreemptionGuard":
        """A guard for one of several runs of this process, in a thread of its own; it is not to be installed.

        It knows of the same requests, and has a `resume_command` and `saves` of its own.
        """
        guard = PreemptionGuard(self._signals)
        guard._request = self._request
        return guard

    def wait(self, timeout_s: float) -> bool:
        """Sleeps until a stop is requested, at most `timeout_s`; returns `requested()`."""
        # An event would need a lock, which a handler that runs within this very wait could not take.
        end_s = time.monotonic() + timeout_s
        while not self.requested() and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(_POLL_S, left_s))
        return self.requested()

    def install(self) -> None:
        """Sets the handlers; again, if they were set before, since another library may have set its own.

        Raises:
            RuntimeError: Outside the main thread, where Python sets no handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                f"PreemptionGuard must be installed in the main thread, not in {threading.current_thread().name!r}"
            )
        self._pid = os.getpid()
        for number in (*self._signals, signal.SIGINT):
            if number in _MAY_BE_IGNORED and signal.getsignal(number) is signal.SIG_IGN:
                continue
            self._set(number, self._on_interrupt if number == signal.SIGINT else self._on_preemption)

    def uninstall(self) -> None:
        """Puts back the handlers that the first `install` found."""
        for number, handler in self._found.items():
            # None stands for a handler that was not set from Python, and that Python cannot put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._found.clear()

    def ignore(self) -> None:
        """Ignores the signals until the process has ended; call it last, with everything saved.

        SLURM sends SIGTERM after its first signal, and some set-ups send each twice. One that arrives while the
        interpreter shuts down, where Python's handlers are gone, would replace the exit code. Ctrl-C then ends the
        process at once.
        """
        for number in self._found:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else signal.SIG_IGN)
        self._found.clear()

    def __enter__(self) -> "PreemptionGuard":
        self.install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.uninstall()

    def _set(self, number: signal.Signals, handler: Callable[[int, FrameType | None], None]) -> None:
        # Always, whatever Python thinks is set: native code (jax.distributed) sets handlers that Python does not see.
        self._found.setdefault(number, signal.signal(number, handler))

    def _on_preemption(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() == self._pid:
            self.request(signal.Signals(number).name)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:
            return
        now_s = time.monotonic()
        if self._interrupted_at_s is None:
            self._interrupted_at_s = now_s
            self.request("interrupt")
            again = "To resume later" if self.saves else "To begin again later"
            resume = f" {again}: {self.resume_command}" if self.resume_command else ""
            doing = "saving, then exiting" if self.saves else "exiting, nothing is saved"
            message = f"\nInterrupted: {doing}. Press Ctrl-C again to exit at once.{resume}\n"
            _write(self.message_descriptor, message.encode())
        elif now_s - self._interrupted_at_s > _SAME_PRESS_S:
            _exit_at_once(self.message_descriptor)


def _write(descriptor: int, message: bytes) -> None:
    # Not through sys.stderr: a handler that interrupts a print must not print itself.
    try:
        os.write(descriptor, message)
    except OSError:
        return


def _exit_at_once(descriptor: int) -> None:
    """Dies of SIGINT, as a shell expects of an interrupted program (status 130); checkpoints are atomic."""
    if os.isatty(descriptor):
        _write(descriptor, _SHOW_CURSOR + b"\n")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    # Process 1 of a container is not ended by a signal without a handler.
    os._exit(130)
