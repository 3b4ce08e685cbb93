"""Every test runs with the shapes and types of the annotations checked at run time."""

import fcntl
import gc
import os
import shutil
import signal
import sys
from functools import cache as cached
from pathlib import Path

import pytest

from tests.compilation import QUICK_FLAGS, compile_quickly

# Before jax is imported: tests run on the CPU even where there is an accelerator (GPU tests are subprocesses).
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = QUICK_FLAGS
# Each of xdist's workers, which inherit this, would have a thread of NumPy's BLAS per core, and all of them would wait
# for one another: long walks over belief states took twice the CPU time.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from absl import logging as absl_logging
from jaxtyping import install_import_hook
from xdist.scheduler import LoadScopeScheduling

from tests import type_checks

# Fixtures for the tests of several folders.
from tests.images import buildah as buildah
from tests.images import shared_folder as shared_folder
from tests.images import sif as sif
from tests.recorded_slurm import recorded as recorded
from tests.site_configs import site as site

# A failing assertion there shows both sides, as one in a test does.
pytest.register_assert_rewrite("tests.small_runs")

install_import_hook("simplexity", f"{type_checks.__name__}.checked")

# absl comes with Orbax, and closes its handler's stream when Hydra sets up logging: that must not be pytest's.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


class NamesFailures:
    """Writes a failing test's name when it fails; pytest's own list comes at the end of the run."""

    def __init__(self, reporter: pytest.TerminalReporter):
        self._reporter = reporter

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self._reporter.verbosity < 1:
            crash = getattr(report.longrepr, "reprcrash", None)
            reason = str(crash.message).partition("\n")[0] if crash else report.when
            self._reporter.write(f"\nFAILED {report.nodeid} - {reason}\n", flush=True, red=True)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:  # xdist's workers have none
        config.pluginmanager.register(NamesFailures(reporter))


def pytest_keyboard_interrupt() -> None:
    from xdist.workermanage import NodeManager

    # What they still do is to clean up; after these seconds they are killed.
    NodeManager.EXIT_TIMEOUT = 5


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        # These start whole programs.
        if "cache" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
    if "PYTEST_XDIST_WORKER" in os.environ:
        # What takes long begins first: no worker is left alone with it at the end.
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """0 for tests on a SLURM, which mostly wait, 1 for those with an image, 2 for other slow ones, 3 for the rest.

    Tests that need both come after those on a SLURM alone: by then another worker has built the image.
    """
    marks = {mark.name for mark in item.iter_markers()}
    if "slurm" in marks and "container" not in marks:
        return 0
    return 1 if "container" in marks else 2 if "slow" in marks else 3


def pytest_collection_finish() -> None:
    """What the imports have made stays until the end: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class OneWorkerForWhatIsShared(LoadScopeScheduling):
    """Spreads tests one by one over the workers, but keeps those of some folders, and those of some files, on one.

    More than two SLURMs at a time would each count on the whole machine, as sweeps on one GPU would on all of its
    memory; and one worker builds the images and runs them, while the others do not wait for it. What a fixture makes
    for all tests of a file, such as a run that was stopped, each worker with one of these tests would make again. xdist
    has marks for groups, which pytest from 9.2 on does not let it act on.
    """

    _FOLDERS = ("tests/slurm/preempted/", "tests/slurm/", "tests/containers/", "tests/gpu/")

    def __init__(self, config: pytest.Config, log):
        super().__init__(config, log)
        config.option.loadscopereorder = False  # the order of the collection, and not the number of tests
        self._shares_fixtures = cached(lambda file: 'scope="module"' in (config.rootpath / file).read_text("utf-8"))

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        alone = file if self._shares_fixtures(file) else nodeid
        return next((folder for folder in self._FOLDERS if nodeid.startswith(folder)), alone)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> OneWorkerForWhatIsShared | None:
    return OneWorkerForWhatIsShared(config, log) if config.getvalue("dist") == "loadgroup" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto` is one worker more than cores where there is a SLURM: the one with its tests mostly waits."""
    if config.getvalue("dist") == "loadgroup" and shutil.which("sbatch"):
        return len(os.sched_getaffinity(0)) + 1
    return None


@pytest.fixture(autouse=True, scope="session")
def quick_compilation() -> None:
    """Not for the processes that tests start, and not where a test is about the bits of a program as users have it."""
    compile_quickly()


@pytest.fixture(autouse=True, scope="session")
def threads_of_a_run() -> None:
    """The processes that tests start have as many threads as users' have; this one's BLAS has read its number."""
    del os.environ["OPENBLAS_NUM_THREADS"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=4, help="how often the soak test kills its run")


@pytest.fixture(scope="session", autouse=True)
def no_ignored_signals() -> None:
    """Programs that a test starts stop when told to, also where the tests run in a shell's background or under nohup.

    There SIGINT, or SIGHUP, is ignored, and so it would be in all that is started. A handler is not inherited, and one
    that does nothing lets pytest continue ignoring it.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """Compiled programs, shared by all runs of a session, and by all workers of one."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "cache"


@pytest.fixture(scope="session")
def runner(cache):
    """Starts and resumes runs where a test needs no process of its own for it: that takes a third of the time."""
    from tests.small_runs import Runner

    runner = Runner(cache)
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def uninterrupted(cache):
    """Run directories of uninterrupted runs, by model; whichever worker comes first runs them."""
    from tests.small_runs import run

    folder = cache.parent / "uninterrupted"

    def of(model: str) -> Path:
        folder.mkdir(exist_ok=True)
        with open(folder / f"{model}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (folder / model / "COMPLETE").exists():
                done = run(folder / model, model, cache=cache)
                assert done.returncode == 0, done.stderr
        return folder / model

    return of
