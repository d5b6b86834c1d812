"""Which version of a peer's packages is installed."""

import json
import subprocess
from importlib.metadata import distributions

from . import NODE, ROOT


def version_of(package: str) -> str | None:
    """Return the installed version of a package for Python or Node, or of Node itself; None if there is none."""
    if package == "node":
        return subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout.strip(" v\n")
    folders = [str(folder) for folder in (ROOT / ".venv-bench" / "lib").glob("python3*/site-packages")]
    if found := next(distributions(name=package, path=folders), None):
        return found.version
    description = ROOT / "benchmarks" / "node_modules" / package / "package.json"
    return json.loads(description.read_text())["version"] if description.exists() else None
