"""Several machines on one: a host that is cut off loses nothing, and disturbs nobody."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.machines.network import Trouble, check_machine
from tests.harness import ROOT, missing


def run(*arguments: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "examples.machines", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Machines that are up, with their data in this folder."""
    try:
        check_machine()
    except Trouble as trouble:
        missing(f"several machines: {trouble}")
    if not (ROOT / "node_modules" / "ws").is_dir():
        missing("node with the package ws; npm ci installs it")
    folder = tmp_path / "machines"
    try:
        started = run("up", "--folder", str(folder))
        assert started.returncode == 0, started.stderr
        yield folder
    finally:
        run("down", "--folder", str(folder))


@pytest.mark.slow
def test_clients_of_a_host_that_is_cut_off_resume_on_the_other_and_its_own_notice_nothing(folder: Path) -> None:
    ended = run("check", "--quick", "--seconds", "16", "--folder", str(folder))

    assert ended.returncode == 0, ended.stderr
    figures = {name: float(value) for name, value in (pair.split("=") for pair in ended.stdout.split())}
    assert figures["tabs"] == 40
    assert figures["cut_s"] == pytest.approx(16, abs=1)
    assert 13 <= figures["cut_off"] <= 27
    assert [figures[name] for name in ("reset", "lost", "twice", "order", "leaked", "corrupt")] == [0] * 6


@pytest.mark.slow
def test_what_is_up_is_not_started_again_and_down_leaves_nothing(folder: Path) -> None:
    again = run("up", "--folder", str(folder))
    ended = run("down", "--folder", str(folder))
    spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout

    assert (again.returncode, ended.returncode) == (2, 0)
    assert "it is up already; end it with" in again.stderr
    assert "wsflask-" not in spaces
    assert not folder.exists()


def test_without_machines_there_is_nothing_to_cut(tmp_path: Path) -> None:
    refused = run("cut", "app1", "--folder", str(tmp_path / "nothing"))

    assert refused.returncode == 2
    assert refused.stderr == "error: it is not up; start it with: python -m examples.machines up\n"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(Trouble, match="need root"):
        check_machine()

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Trouble, match="there is no ip; on Debian and Ubuntu: apt-get install iproute2"):
        check_machine()
