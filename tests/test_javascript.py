"""The client in JavaScript: its own tests, its types, its classic form, its names on the wire."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _need(program: str | None, hint: str) -> str:
    if program is None:
        if os.environ.get("WSFLASK_REQUIRE_SERVERS"):
            pytest.fail(hint)
        pytest.skip(hint)
    return program


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]


def test_the_client_passes_its_own_tests() -> None:
    node = _need(shutil.which("node"), "there is no node; install Node 20 or later")

    _run(node, "--test", "tests/js/")


def test_the_types_of_the_client_hold() -> None:
    tsc = ROOT / "node_modules" / ".bin" / "tsc"

    _run(_need(str(tsc) if tsc.exists() else None, "typescript is not installed; run: npm ci"))


def test_the_classic_script_is_fresh() -> None:
    path = ROOT / "scripts" / "build_classic.py"
    spec = importlib.util.spec_from_file_location("build_classic", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.TARGET.read_text(encoding="utf-8") == module.classic(), "run: python scripts/build_classic.py"
