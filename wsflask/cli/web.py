"""The command line of gunicorn, and what it needs to serve."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..errors import ConfigError

try:
    import resource
except ImportError:  # Windows: gunicorn does not run there
    resource = None  # type: ignore[assignment]

__all__ = [
    "check_gunicorn",
    "check_port",
    "check_settings",
    "check_target",
    "file_limit",
    "gunicorn_command",
    "raise_file_limit",
]

#: The settings of gunicorn, which every deployment shares.
_SETTINGS = "python:wsflask.gunicorn"
#: The first gunicorn that can be told not to open a control socket in the user's home.
_OLDEST = (25, 1)
#: File descriptors to ask for: one a connection, and room for the rest.
_FILES = 65_536


def gunicorn_command(
    target: str, *, binds: Sequence[str], workers: int, arguments: Sequence[str] = ()
) -> list[str]:
    """Return the command that serves `target` ("module:app") under gunicorn's gevent worker.

    Its settings are those of `wsflask.gunicorn`, unless the arguments name others.

    Raises:
        ConfigError: gunicorn is missing, too old, or lacks what its gevent worker needs.
    """
    check_gunicorn()
    command = [sys.executable, "-m", "gunicorn", "-c", _SETTINGS, "-w", str(workers)]
    for bind in binds:
        command += ["--bind", bind]
    return [*command, *arguments, target]


def check_settings(arguments: Sequence[str], folder: Path) -> None:
    """Raise ConfigError when gunicorn would look over a gunicorn.conf.py that lies in the folder."""
    own = folder / "gunicorn.conf.py"
    if own.is_file() and not any(re.match(r"-c|--config\b", each) for each in arguments):
        raise ConfigError(
            "there is a gunicorn.conf.py in this folder; begin it with `from wsflask.gunicorn import *`, and name it: "
            "-- -c gunicorn.conf.py (to leave it aside: -- -c python:wsflask.gunicorn)"
        )


def check_gunicorn() -> str:
    """Return gunicorn's version; raise ConfigError when it cannot serve."""
    remedy = "pip install 'wsflask[server]'"
    try:
        found = version("gunicorn")
    except PackageNotFoundError:
        raise ConfigError(f"gunicorn is not installed; install it with: {remedy}") from None
    try:
        version("packaging")
    except PackageNotFoundError:
        raise ConfigError(f"gunicorn's gevent worker lacks the package `packaging`; {remedy}") from None
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) < _OLDEST:
        raise ConfigError(f"gunicorn {found} is older than {'.'.join(map(str, _OLDEST))}; {remedy}")
    return found


def check_target(target: str) -> str:
    """Return the target with its application named; raise ConfigError when it is no `module:app`."""
    module, _, name = target.partition(":")
    if not re.fullmatch(r"[A-Za-z_][\w.]*", module):
        raise ConfigError(f"{target!r} is no application; write the import name, such as wsgi:app")
    return f"{module}:{name or 'app'}"


def check_port(host: str, port: int) -> None:
    """Raise ConfigError when nobody can listen on that port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"port {port} on {host} cannot be used ({error.strerror}); choose another one: --port {port + 1}"
            ) from None


def file_limit() -> int | None:
    """Return how many files a process may open once it has asked for it; None: there is no limit."""
    if resource is None:
        return None
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def raise_file_limit() -> None:
    """Let this process and its children open as many files as they may."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(_FILES, file_limit() or _FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
