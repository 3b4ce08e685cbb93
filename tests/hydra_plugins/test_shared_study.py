"""Two searches that share a stored study at the same time do not run the same config."""

import json
import subprocess
import sys

import pytest
from optuna.trial import TrialState

from hydra_plugins.simplexity_optuna_sweeper._proposals import propose
from hydra_plugins.simplexity_optuna_sweeper._search_space import search_space
from hydra_plugins.simplexity_optuna_sweeper._study import FACTS_KEY, TrialFacts, open_study
from tests.hydra_plugins.test_optuna_sweeper import parsed

SEARCH = """
import json, sys
from pathlib import Path
from hydra_plugins.simplexity_optuna_sweeper._proposals import propose
from hydra_plugins.simplexity_optuna_sweeper._search_space import search_space
from hydra_plugins.simplexity_optuna_sweeper._study import FACTS_KEY, TrialFacts, open_study
from tests.hydra_plugins.test_optuna_sweeper import parsed
space = search_space(parsed("key=" + ",".join(map(str, range(16)))))
storage, folder = sys.argv[1:]
study = open_study(storage, "s", "minimize", 0, space)
input()
for run in range(5):
    trial, config = propose(study, space, json.dumps, 0, Path(folder))
    trial.set_user_attr(FACTS_KEY, TrialFacts(folder, "host", run, config)._asdict())
    print(trial.params["key"])
"""


@pytest.mark.slow
def test_two_processes_propose_different_configs_at_the_same_time(tmp_path):
    storage, pipe = str(tmp_path / "study.log"), subprocess.PIPE
    open_study(storage, "s", "minimize", 0, search_space(parsed("key=" + ",".join(map(str, range(16))))))
    searches = [
        subprocess.Popen([sys.executable, "-c", SEARCH, storage, folder], stdin=pipe, stdout=pipe, text=True)
        for folder in ("/a", "/b")
    ]
    for search in searches:
        assert search.stdin is not None
        search.stdin.write("\n")
        search.stdin.flush()
    proposed = [search.communicate(timeout=60)[0].split() for search in searches]
    # Within a search an equal config may be proposed again: it is not run again.
    assert [len(keys) for keys in proposed] == [5, 5]
    assert not set(proposed[0]) & set(proposed[1])


def test_where_no_other_config_is_left_one_is_proposed_again_and_it_is_said(tmp_path, caplog):
    space = search_space(parsed("key=1,2"))
    study = open_study(None, None, "minimize", 0, space)
    for run, key in enumerate(("1", "2")):
        trial = study.ask(dict(space))
        trial.set_user_attr(FACTS_KEY, TrialFacts("/a", "host", run, json.dumps({"key": key}))._asdict())
    trial, config = propose(study, space, json.dumps, 0, tmp_path)
    assert config == json.dumps(trial.params)
    assert study.trials[trial.number].state == TrialState.RUNNING
    assert [record.getMessage() for record in caplog.records] == [
        "other searches of this study run all configs that were proposed; the next run may repeat one of them"
    ]
