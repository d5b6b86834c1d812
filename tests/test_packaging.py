"""The wheel and the sdist have everything, and the wheel runs away from the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.harness import ROOT, Database, Servers
from wsflask.embedded import free_port

pytestmark = pytest.mark.slow

#: What lies in a checkout, and is neither source nor wanted.
_NOT_SOURCE = (
    ".git", ".venv*", "venv", "node_modules", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".ci", "*.so",
)  # fmt: skip


_IS_COMPILED = "from wsflask.transport import sends; print(sends.IS_COMPILED)"


def files_below(*folders: str) -> set[str]:
    """Return the files of the checkout below these folders."""
    paths = (path for folder in folders for path in (ROOT / folder).rglob("*"))
    files = (path for path in paths if path.is_file() and path.suffix != ".so" and "__pycache__" not in path.parts)
    return {str(path.relative_to(ROOT)) for path in files}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and with the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*_NOT_SOURCE))
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(folder / "source"), cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has nothing but the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("elsewhere")
    run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"), cwd=folder)
    python = str(folder / "venv" / "bin" / "python")
    (wheel,) = built.glob("*.whl")
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", f"{wheel}[server]"]
    run(*command, cwd=folder)
    return folder / "venv" / "bin"


def run(*command: str, cwd: Path) -> str:
    """Run a program away from the checkout, and return what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_wheel_has_code_static_templates_and_data(built: Path) -> None:
    (wheel,) = built.glob("*.whl")

    names = set(zipfile.ZipFile(wheel).namelist())

    assert {name for name in files_below("wsflask") if not name.endswith(".c")} <= names
    assert {f"wsflask/{name}" for name in files_below("static", "templates")} <= names
    foreign = {name for name in names if not name.startswith("wsflask")}
    assert not foreign


def test_the_loop_over_sockets_is_compiled(installed: Path) -> None:
    assert run(str(installed / "python"), "-c", _IS_COMPILED, cwd=installed) == "True\n"


def test_without_a_compiler_the_loop_is_python(tmp_path: Path) -> None:
    shutil.copytree(ROOT, tmp_path / "source", ignore=shutil.ignore_patterns(*_NOT_SOURCE))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    environment = {**os.environ, "CC": "no-such-compiler", "CXX": "no-such-compiler"}
    arguments = [*command, "--target", str(tmp_path / "target"), str(tmp_path / "source")]

    ended = subprocess.run(arguments, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    script = f"import sys; sys.path.insert(0, {str(tmp_path / 'target')!r}); {_IS_COMPILED}"
    assert run(sys.executable, "-I", "-c", script, cwd=tmp_path) == "False\n"


def test_the_sdist_has_what_a_wheel_and_a_reader_need(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")

    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert files_below("wsflask", "static", "templates") <= names
    assert {"setup.py", "pyproject.toml", "wsgi.py", "README.md", "CHANGELOG.md", "LICENSE"} <= names


def test_the_installed_command_runs_and_finds_its_files(installed: Path, tmp_path: Path) -> None:
    script = "import wsflask; from wsflask.assets import STATIC, TEMPLATES; print(wsflask.__file__, STATIC, TEMPLATES)"

    shown = run(str(installed / "python"), "-c", script, cwd=tmp_path).split()

    assert all(path.startswith(str(installed.parent)) for path in shown)
    assert Path(shown[1], "wsflask.js").is_file()
    assert Path(shown[2], "wsflask").is_dir()
    assert "wsflask 0.1.0" in run(str(installed / "wsflask"), "--version", cwd=tmp_path)


def test_the_wheel_serves_the_client_and_the_demo_page(
    installed: Path, tmp_path: Path, database: Database, servers: Servers
) -> None:
    port = free_port()
    env = {"PYTHONPATH": "", "XDG_CACHE_HOME": str(tmp_path), "WSFLASK_MONGODB_URI": database.uri}

    command = [str(installed / "wsflask"), "demo", "--port", str(port), "--workers", "1"]
    server = servers.start(command, port=port, env=env, cwd=tmp_path)

    def get(path: str) -> str:
        with urllib.request.urlopen(server.base_url + path, timeout=10) as answer:
            return str(answer.read().decode())

    for path in files_below("static"):
        if path.endswith(".js"):
            assert get(f"/wsflask/{path}") == (ROOT / path).read_text()
    assert "<form" in get("/login")
