import errno
import json
import stat
from dataclasses import replace

import pytest

from simplexity.cluster import Container
from simplexity.sweeps import LocalLaunch, SweepRun, _launch_settings, require_own

HOSTILE = "key=\"a b'c $HOME `id` \\n\nü \ud800 ::%"


def run(index, config_hash="a", directory=None, overrides=()):
    return SweepRun(index, tuple(overrides), config_hash, directory or str(index), 20)


@pytest.fixture
def manifest(make_sweep):
    return replace(make_sweep({}).read_manifest(), runs=(run(0), run(1)))


@pytest.mark.parametrize("container", [None, Container(image="i.sif", runtime="apptainer", binds=["/a"], env={})])
def test_any_text_survives(make_sweep, slurm_launch, container):
    sweep = make_sweep({}, launch=slurm_launch(container=container, setup=[HOSTILE]))
    manifest = replace(sweep.read_manifest(), runs=(run(0, overrides=[HOSTILE]),), working_folder=HOSTILE)
    sweep.write_manifest(manifest)
    assert sweep.read_manifest() == manifest


def test_values_of_variables_are_for_the_sweeps_owner_alone(make_sweep, slurm_launch):
    container = Container(image="i.sif", runtime="apptainer", binds=[], env={"KEY": "secret1"})
    launch = slurm_launch(container=container, environment={"TOKEN": "secret2"})
    sweep = make_sweep({}, launch=launch)
    assert sweep.read_manifest().launch == launch
    text = sweep.manifest_path.read_text()
    assert "TOKEN" in text
    assert "secret" not in text
    assert stat.S_IMODE(sweep.environment_path.stat().st_mode) == 0o600
    # A colleague who may not read them still sees how the sweep stands; without them nothing is started again.
    for content in ("", "[1]", '{"environment": "TOKEN"}', None):
        sweep.environment_path.unlink() if content is None else sweep.environment_path.write_text(content)
        assert sweep.read_manifest().run(0).index == 0
        with pytest.raises(RuntimeError, match=r"environment\.json, .* is gone or corrupt"):
            require_own(sweep)


def test_the_values_of_variables_that_a_sweep_has_no_more_are_gone(make_sweep, slurm_launch):
    def launch(environment, env):
        container = Container(image="i.sif", runtime="apptainer", binds=[], env=env)
        return slurm_launch(container=container, environment=environment)

    sweep = make_sweep({}, launch=launch({"TOKEN": "secret", "A": "a"}, {"KEY": "secret", "B": "b"}))
    values = json.loads(sweep.environment_path.read_text())
    for later in (launch({"A": "a"}, {"B": "b"}), launch({}, {"B": "c"}), launch({}, {})):
        sweep.write_manifest(replace(sweep.read_manifest(), launch=later))
        assert sweep.read_manifest().launch == later
    assert not sweep.environment_path.exists()
    # As a kill between the two files, or an earlier version, leaves them.
    sweep.environment_path.write_text(json.dumps(values))
    assert sweep.read_manifest().launch == later


def test_a_read_error_is_not_taken_for_variables_that_are_gone(make_sweep, slurm_launch, monkeypatch):
    """Runs would be started without them."""
    sweep = make_sweep({}, launch=slurm_launch(environment={"TOKEN": "secret"}))
    launch = sweep.read_manifest().launch
    real, failures = _launch_settings.read_file, iter([OSError(errno.ESTALE, "Stale file handle", "environment.json")])

    def read(path):
        if error := next(failures, None):
            raise error
        return real(path)

    monkeypatch.setattr(_launch_settings, "read_file", read)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert sweep.read_manifest().launch == launch


@pytest.mark.parametrize("name", ["manifest_path", "runs_path", "submissions_path"])
def test_a_file_of_a_sweep_is_read_once_more_if_it_cannot_be_read(name, make_sweep, monkeypatch):
    sweep, num_pauses = make_sweep({}), []
    sweep.record_submission([0])
    path = getattr(sweep, name)
    real = path.rename(path.with_name("real"))
    path.symlink_to("/proc/self/mem")  # its first byte cannot be read

    def mend(seconds):
        num_pauses.append(seconds)
        path.unlink(missing_ok=True)
        real.rename(path)

    monkeypatch.setattr("time.sleep", mend)
    assert (sweep.read_manifest().run(0).index, len(sweep.read_submissions())) == (0, 1)
    assert len(num_pauses) == 1


def test_later_runs_join_and_the_same_ones_stay_once(manifest):
    extended = manifest.extended([run(1), run(2)])
    assert [one.index for one in extended.runs] == [0, 1, 2]
    assert extended.extended([run(2)]) == extended


@pytest.mark.parametrize(
    ("new", "says"),
    [
        (run(1, config_hash="b"), "run 1 with another config"),
        (run(1, directory="elsewhere"), "run 1 with another config"),
        (run(2, directory="1"), "share a run directory"),
    ],
)
def test_runs_that_do_not_fit(manifest, new, says):
    with pytest.raises(ValueError, match=says):
        manifest.extended([new])


def test_an_index_that_is_not_there(make_sweep):
    sweep = make_sweep({}, {})
    assert sweep.read_run(1) == sweep.read_manifest().run(1)
    for look in (sweep.read_run, sweep.read_manifest().run):
        with pytest.raises(ValueError, match="no run 7; the sweep has 2: 0 to 1"):
            look(7)


def test_a_batch_joins_without_a_rewrite_of_the_runs_that_are_there(make_sweep):
    sweep = make_sweep({}, {})
    inode, before = sweep.runs_path.stat().st_ino, sweep.runs_path.read_bytes()
    manifest = sweep.read_manifest().extended([run(3, overrides=[HOSTILE]), run(2)])
    sweep.add_runs(manifest, [run(3, overrides=[HOSTILE]), run(2)])
    assert sweep.runs_path.stat().st_ino == inode
    assert sweep.runs_path.read_bytes().startswith(before)
    assert sweep.read_manifest() == manifest
    assert [sweep.read_run(index).overrides for index in (2, 3)] == [(), (HOSTILE,)]


@pytest.mark.parametrize("tail", [b'{"index":2,"overr', b"\0" * 100])
def test_a_batch_that_a_kill_has_cut_off_is_not_there(make_sweep, tail):
    sweep = make_sweep({}, {})
    manifest = sweep.read_manifest()
    with open(sweep.runs_path, "ab") as file:
        file.write(tail)
    assert sweep.read_manifest() == manifest
    manifest = manifest.extended([run(2)])
    sweep.add_runs(manifest, [run(2)])
    assert sweep.read_manifest() == manifest


def test_a_line_that_no_kill_leaves_is_an_error(make_sweep):
    sweep = make_sweep({}, {}, {})
    lines = sweep.runs_path.read_text().splitlines(keepends=True)
    sweep.runs_path.write_text(f"{lines[0]}torn\n{lines[2]}")
    with pytest.raises(RuntimeError, match=r"line 2 of .*runs\.jsonl is not a JSON object"):
        sweep.read_manifest()


def test_a_manifest_of_format_1_is_read_and_renewed_when_a_batch_joins(make_sweep):
    sweep = make_sweep({}, {})
    manifest = sweep.read_manifest()
    head = json.loads(sweep.manifest_path.read_text())
    runs = [json.loads(line) for line in sweep.runs_path.read_text().splitlines()]
    sweep.manifest_path.write_text(json.dumps(head | {"format": 1, "runs": runs}, indent=1))
    sweep.runs_path.unlink()
    assert sweep.read_manifest() == manifest
    assert sweep.read_run(1) == manifest.runs[1]
    assert sweep.read_manifest(with_runs=False).launch == manifest.launch
    manifest = manifest.extended([run(2)])
    sweep.add_runs(manifest, [run(2)])
    assert "runs" not in json.loads(sweep.manifest_path.read_text())
    assert sweep.read_manifest() == manifest


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "runs": [{}]}'])
def test_what_is_no_manifest(make_sweep, text):
    sweep = make_sweep({})
    sweep.manifest_path.write_text(text)
    with pytest.raises(RuntimeError, match=r"manifest\.json cannot be read"):
        sweep.read_manifest()


@pytest.mark.parametrize("field", ["max_parallel", "cores_per_run"])
def test_settings_check_themselves(field):
    with pytest.raises(ValueError, match=f"`{field}` must be at least 1, or null, got 0"):
        LocalLaunch(**{"max_parallel": None, "cores_per_run": None, field: 0})


@pytest.mark.parametrize("content", ["", "\0\0\0", "garbage\n"])
def test_a_sweep_that_has_lost_all_its_runs_is_not_complete(content, make_sweep):
    sweep = make_sweep({})
    sweep.runs_path.write_text(content)
    with pytest.raises(
        RuntimeError,
        match=r"manifest\.json cannot be read: runs\.jsonl has no run any more; restore runs\.jsonl from a copy$",
    ):
        sweep.read_manifest()


def test_a_sweep_that_has_lost_its_last_runs_says_so(make_sweep):
    sweep = make_sweep({})
    sweep.add_runs(sweep.read_manifest().extended([run(1), run(2)]), [run(1), run(2)])
    lines = sweep.runs_path.read_text().splitlines(keepends=True)
    sweep.runs_path.write_text("".join(lines[:-1]))
    assert sweep.read_run(1) == run(1)
    says = (
        r"runs\.jsonl has 2 of 3 runs; restore runs\.jsonl from a copy, "
        r"or set `num_runs` in manifest\.json to 2 to continue"
    )
    for look in (sweep.read_manifest, lambda: sweep.read_run(2)):
        with pytest.raises(RuntimeError, match=says):
            look()
    # A line that is there twice does not stand for the one that is lost.
    sweep.runs_path.write_text("".join([*lines[:-1], lines[0]]))
    with pytest.raises(RuntimeError, match=says):
        sweep.read_manifest()
    head = json.loads(sweep.manifest_path.read_text())
    # As it says, and as earlier versions wrote it.
    for changed in (head | {"num_runs": 2}, {key: value for key, value in head.items() if key != "num_runs"}):
        sweep.manifest_path.write_text(json.dumps(changed))
        assert [one.index for one in sweep.read_manifest().runs] == [0, 1]


def test_what_a_later_version_adds_to_the_same_format_is_ignored(make_sweep):
    sweep = make_sweep({})
    manifest = sweep.read_manifest()
    head = json.loads(sweep.manifest_path.read_text())
    sweep.manifest_path.write_text(json.dumps(head | {"colour": "red"}))
    assert sweep.read_manifest() == manifest


@pytest.mark.parametrize("line", ["{}", '{"indices": 3}', '{"indices": [0], "colour": 1}'])
def test_submissions_of_another_kind_are_one_line(line, make_sweep):
    sweep = make_sweep({})
    sweep.submissions_path.write_text(f"{line}\n{line}\n")
    with pytest.raises(RuntimeError, match=r"submissions\.jsonl was not written by a sweep"):
        sweep.read_submissions()
