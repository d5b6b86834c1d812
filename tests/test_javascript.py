"""The client in JavaScript: its own tests, its types, its classic form, its names on the wire."""

from __future__ import annotations

import importlib.util
import subprocess

from tests import harness
from tests.harness import ROOT


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_the_client_passes_its_own_tests() -> None:
    _run(harness.require_program("node"), "--test", "tests/js/")


def test_the_types_of_the_client_hold() -> None:
    tsc = ROOT / "node_modules" / ".bin" / "tsc"
    if not tsc.exists():
        harness.missing("typescript (run: npm ci)")

    _run(harness.require_program("node"), str(tsc))


def test_the_classic_script_is_fresh() -> None:
    path = ROOT / "scripts" / "build_classic.py"
    spec = importlib.util.spec_from_file_location("build_classic", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.TARGET.read_text(encoding="utf-8") == module.classic(), "run: python scripts/build_classic.py"
