"""Locks as others would leave them."""

import json
import os

from simplexity.runs import read_holder
from simplexity.runs._owner import this_process


def owner_of(folder):
    seen = read_holder(folder)
    assert seen is not None
    assert seen.owner is not None
    return seen.owner


def forge(folder, **changes):
    """Leaves a lock as a process elsewhere, or of another time, would."""
    folder.mkdir(exist_ok=True)
    owner = this_process(since=1.7e9)._replace(**changes)
    (folder / "1").write_text(json.dumps(owner.to_json()))
    return owner


def elsewhere(folder, **changes):
    return forge(folder, host="n7", pid=os.getpid(), kernel="another-boot", **changes)
