"""Load an application in a process of its own, prepared as gunicorn's gevent worker is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .databases import redacted

__all__ = ["Answer", "call_in_worker"]

#: Seconds an application may take to be imported and to answer.
_PATIENCE = 60.0
#: The application comes first, as under gunicorn: what wsflask imports must not come before its patch.
_SCRIPT = """
import sys
if sys.argv[1] == "patched":
    from gevent import monkey
    monkey.patch_all()
import os, warnings
sys.path.insert(0, os.getcwd())
from importlib import import_module
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import_module(sys.argv[2].partition(":")[0])
import json
function = getattr(import_module(sys.argv[3]), sys.argv[4])
answer = function(sys.argv[2], *json.loads(sys.argv[5]))
late = [str(each.message) for each in caught if each.category.__name__ == "MonkeyPatchWarning"]
with open(sys.argv[6], "w") as file:
    json.dump([answer, late], file)
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call in a worker gave."""

    value: Any
    #: gevent's warnings that the application patched after it had imported what is patched.
    late_patches: list[str]


def call_in_worker(
    target: str, module: str, function: str, *arguments: Any, is_patched: bool = True
) -> Answer:
    """Import the application `target`, and call `function(target, *arguments)` of `module`, in a new process.

    Arguments and answer are JSON values.

    Raises:
        ConfigError: it raised or did not end; the sentence has the last line that it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "answer.json")
        patch = "patched" if is_patched else "plain"
        command = [sys.executable, "-c", _SCRIPT, patch, target, module, function, json.dumps(arguments), path]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise ConfigError(f"no answer from the application within {_PATIENCE:.0f} s") from None
        if ended.returncode != 0 or not os.path.exists(path):
            lines = ended.stderr.strip().splitlines() or [f"status {ended.returncode}"]
            raise ConfigError(redacted(lines[-1]))
        with open(path) as file:
            return Answer(*json.load(file))
