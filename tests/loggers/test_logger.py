import pytest

from simplexity.loggers import CompositeLogger, FileLogger, Logger, RunFacts


class Recorder(Logger):
    def __init__(self, calls, name, error=None):
        self._calls, self._name, self._error = calls, name, error

    def start(self, facts):
        self._calls.append((self._name, "start", facts))

    def log(self, step, metrics):
        self._calls.append((self._name, "log", step, metrics))

    def progress(self, step):
        self._calls.append((self._name, "progress", step))

    def flush(self):
        self._calls.append((self._name, "flush"))

    def close(self):
        self._calls.append((self._name, "close"))
        if self._error is not None:
            raise self._error


def test_every_call_goes_to_every_logger():
    calls, facts = [], RunFacts(10, 0, 64)
    logger = CompositeLogger({"a": Recorder(calls, "a"), "b": Recorder(calls, "b")})
    logger.start(facts)
    logger.progress(3)
    logger.log(3, {"loss": 0.5})
    logger.flush()
    logger.close()
    expected = [("start", facts), ("progress", 3), ("log", 3, {"loss": 0.5}), ("flush",), ("close",)]
    assert calls == [(name, *call) for call in expected for name in ("a", "b")]


def test_all_are_closed_though_one_cannot():
    calls, error = [], RuntimeError("no space")
    logger = CompositeLogger({"a": Recorder(calls, "a", error), "b": Recorder(calls, "b")})
    with pytest.raises(RuntimeError, match="no space"):
        logger.close()
    assert calls == [("a", "close"), ("b", "close")]


def test_a_logger_lacks_no_method():
    with pytest.raises(TypeError, match="abstract"):
        type("Incomplete", (Logger,), {"start": Recorder.start})()
    assert FileLogger.__abstractmethods__ == frozenset()
