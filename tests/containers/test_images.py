"""Real images of this checkout: what they hold, and that a run inside is bitwise the run outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simplexity import __version__
from simplexity.runs import RunDirectory, read_environments

# Two builds come before the first tests.
pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.timeout(1500)]

RUN = Path(__file__).resolve().parents[2] / "containers/run.sh"
EXPERIMENT_TIMEOUT_S = 500
QUICK = ["training.num_train_steps=2", "training.batch_size=4", "training.sequence_len=8"]
# The default experiment, but for its length.
SHORT = ["training.num_train_steps=200", "training.log_every=20", "validation.every=100"]
# What jax_cuda12_plugin 0.10.2 does without a driver, unless it is told not to use CUDA.
PLUGIN = """
def initialize():
    from jax._src import config
    if not config.jax_platforms.value or "cuda" in config.jax_platforms.value:
        raise RuntimeError("Unable to load CUDA. Is it installed?")
"""
WALL_CLOCK = ("time_s", "timestamp")
WAIT_FOR_SIGNAL = (
    "import signal, sys, time\n"
    "for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM): signal.signal(number, lambda *_: sys.exit(85))\n"
    "print('ready', flush=True)\ntime.sleep(60)"
)


def jax_version(run_dir: Path) -> str:
    (record,) = read_environments(RunDirectory(run_dir).environment_path)
    return record["versions"]["jax"]


def assert_computes_what_the_host_computes(run_dir: Path, outside: Path) -> None:
    """Bit for bit with the host's JAX, and up to rounding with another: the image has the newest that CI tests."""
    inside, expected = metrics(run_dir), metrics(outside)
    assert len(expected) > 0
    if jax_version(run_dir) == jax_version(outside):
        assert inside == expected
    else:
        assert [line.keys() for line in inside] == [line.keys() for line in expected]
        for line, expected_line in zip(inside, expected, strict=True):
            for name, value in expected_line.items():
                np.testing.assert_allclose(line[name], value, rtol=0.01, err_msg=name)


def metrics(run_dir: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in WALL_CLOCK} for line in lines]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of the short experiment on the host."""
    run_dir = tmp_path_factory.mktemp("outside")
    command = [sys.executable, "-m", "simplexity.run_experiment", f"hydra.run.dir={run_dir}", *SHORT]
    subprocess.run(command, cwd=run_dir, check=True, capture_output=True, timeout=EXPERIMENT_TIMEOUT_S)
    return run_dir


def in_apptainer(sif: Path, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {"SIMPLEXITY_CACHE": str(cwd / "cache")} | environment
    return subprocess.run(
        [str(RUN), str(sif), *arguments],
        cwd=cwd,
        env=os.environ | own,
        capture_output=True,
        text=True,
        timeout=EXPERIMENT_TIMEOUT_S,
    )


def test_apptainer_computes_what_the_host_computes(sif: Path, tmp_path: Path, outside: Path):
    done = in_apptainer(sif, f"hydra.run.dir={tmp_path}/run", *SHORT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_computes_what_the_host_computes(tmp_path / "run", outside)


def test_a_slurm_jobs_python_starts_without_the_entrypoint(sif: Path, tmp_path: Path):
    """As the launcher's tasks do: `apptainer exec IMAGE python`, in a node's environment."""
    (tmp_path / "simplexity.py").write_text("raise SystemExit('the node has a module of that name')")
    command = ["apptainer", "--quiet", "exec", "--pwd", str(tmp_path), "--bind", str(tmp_path), str(sif)]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path), "SLURM_JOB_ID": "17"}
    code = "import os, simplexity; print(simplexity.__version__, os.environ['SLURM_JOB_ID'])"
    done = subprocess.run([*command, "python", "-c", code], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{__version__} 17\n", done.stderr
    found = subprocess.run(
        [*command, "sh", "-c", "command -v sbatch srun scontrol munge"], capture_output=True, timeout=60
    )
    assert found.returncode != 0


@pytest.fixture
def with_cuda_wheels(sif: Path, tmp_path: Path) -> list[str]:
    """run.sh's words for the image with CUDA's wheels: a plugin that fails as theirs does where there is no driver."""
    for package, text in (("jax_cuda12_plugin", ""), ("jax_plugins/xla_cuda12", PLUGIN)):
        (tmp_path / package).mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text(text)
    site = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = in_apptainer(sif, "python", "-c", site, cwd=tmp_path).stdout.strip()
    binds = [f"--bind={tmp_path / name}:{folder}/{name}:ro" for name in ("jax_cuda12_plugin", "jax_plugins")]
    return [*(word for bind in binds for word in bind.split("=", 1)), str(sif), "train_model", *QUICK]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU here")
@pytest.mark.parametrize(("require_gpu", "code", "says"), [
    ("false", 0, "running on the CPU: jax's CUDA is installed, but there is no GPU here"),
    ("true", 1, "`require_gpu` is true, but jax sees no GPU here"),
])  # fmt: skip
def test_without_a_gpu_the_cuda_image_says_so_once_or_refuses(
    with_cuda_wheels: list[str], tmp_path: Path, require_gpu: str, code: int, says: str
):
    own = os.environ | {"SIMPLEXITY_CACHE": str(tmp_path / "cache"), "JAX_PLATFORMS": ""}
    command = [str(RUN), *with_cuda_wheels, f"require_gpu={require_gpu}"]
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=120)
    assert done.returncode == code
    assert (done.stdout + done.stderr).count(says) == 1
    assert "Traceback" not in done.stderr


def test_apptainer_image_is_labelled_and_holds_this_version(sif: Path, tmp_path: Path):
    labels = subprocess.run(["apptainer", "inspect", "--labels", str(sif)], capture_output=True, text=True, check=True)
    assert f"org.opencontainers.image.version: {__version__}\n" in labels.stdout
    assert "org.opencontainers.image.revision: " in labels.stdout
    done = in_apptainer(sif, "python", "-c", "import simplexity; print(simplexity.__version__)", cwd=tmp_path)
    assert done.stdout == f"{__version__}\n"


def test_apptainer_keeps_slurm_and_shuts_out_the_hosts_python(sif: Path, tmp_path: Path):
    (tmp_path / "simplexity").mkdir()
    (tmp_path / "simplexity/__init__.py").write_text("raise SystemExit('the current folder was imported')")
    code = "import os, simplexity; print(simplexity.__file__, os.getuid(), os.environ['SLURM_JOB_ID'])"
    done = in_apptainer(sif, "python", "-c", code, cwd=tmp_path, SLURM_JOB_ID="17", PYTHONPATH=str(tmp_path))
    file, uid, job = done.stdout.split()
    assert file.startswith("/usr/local/simplexity/")
    assert (int(uid), job) == (os.getuid(), "17")


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_reaches_python_and_its_exit_code_comes_back(sif: Path, tmp_path: Path, number: signal.Signals):
    own = os.environ | {"SIMPLEXITY_CACHE": str(tmp_path / "cache")}
    command = [str(RUN), str(sif), "python", "-c", WAIT_FOR_SIGNAL]
    with subprocess.Popen(command, cwd=tmp_path, env=own, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        process.send_signal(number)
        assert process.wait(timeout=20) == 85


def test_a_truncated_image_is_refused(sif: Path, tmp_path: Path):
    with open(sif, "rb") as whole:
        (tmp_path / "torn.sif").write_bytes(whole.read(100_000))
    done = in_apptainer(tmp_path / "torn.sif", cwd=tmp_path)
    assert done.returncode == 2
    assert "is the copy whole?" in done.stderr


def test_dockerfile_computes_what_the_host_computes(buildah: Callable[..., str], tmp_path: Path, outside: Path):
    container = buildah("from", "localhost/simplexity").strip()
    # `buildah run` leaves the entrypoint out; --user because the folder outside belongs to the one who tests.
    buildah(
        "run", "--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{tmp_path}:{tmp_path}", container, "--",
        "/usr/local/simplexity/entrypoint", f"hydra.run.dir={tmp_path}/run", *SHORT,
    )  # fmt: skip
    assert_computes_what_the_host_computes(tmp_path / "run", outside)


def test_dockerfile_image_is_labelled_and_runs_as_nobody_special(buildah: Callable[..., str]):
    configuration = json.loads(buildah("inspect", "--type", "image", "localhost/simplexity"))["OCIv1"]["config"]
    assert configuration["Entrypoint"] == ["/usr/local/simplexity/entrypoint"]
    assert configuration["User"] == "1000:1000"
    assert configuration["Labels"]["org.opencontainers.image.version"] == __version__
    assert "PYTHONSAFEPATH=1" in configuration["Env"]
    assert not any(variable.startswith("JAX_PLATFORMS=") for variable in configuration["Env"])
