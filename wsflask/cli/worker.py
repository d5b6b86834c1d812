"""Load an application in a process of its own, prepared as gunicorn's gevent worker is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

from ..errors import ConfigError
from .databases import redacted

__all__ = ["call_in_worker"]

#: Seconds an application may take to be imported and to answer.
_PATIENCE = 60.0
#: Nothing of wsflask may be imported before the patch: that is what this is about.
_SCRIPT = """
import sys
if sys.argv[1] == "patched":
    from gevent import monkey
    monkey.patch_all()
import json, os
sys.path.insert(0, os.getcwd())
from importlib import import_module
function = getattr(import_module(sys.argv[2]), sys.argv[3])
answer = function(*json.loads(sys.argv[4]))
with open(sys.argv[5], "w") as file:
    json.dump(answer, file)
"""


def call_in_worker(module: str, function: str, *arguments: Any, is_patched: bool = True) -> Any:
    """Return `function(*arguments)` of `module`, called in a new process; arguments and answer are JSON values.

    Raises:
        ConfigError: it raised or did not end; the sentence has the last line that it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "answer.json")
        patch = "patched" if is_patched else "plain"
        command = [sys.executable, "-c", _SCRIPT, patch, module, function, json.dumps(arguments), path]
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
            return json.load(file)
