"""The command line of gunicorn, with the settings that long-lived connections need."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from ..errors import ConfigError

try:
    import resource
except ImportError:  # Windows: gunicorn does not run there
    resource = None  # type: ignore[assignment]

__all__ = ["check_gunicorn", "check_port", "check_target", "file_limit", "gunicorn_command", "raise_file_limit"]

#: gunicorn's own limit on open sockets, of which it says nothing to those it leaves waiting: above the
#: default of WSFLASK_MAX_CONNECTIONS, so that one too many gets an answer.
_WORKER_CONNECTIONS = 20_000
#: Seconds a worker has to say goodbye to its clients; it usually takes one or two.
_GRACE = 10
#: The first gunicorn that can be told not to open a control socket in the user's home.
_OLDEST = (25, 1)
#: File descriptors to ask for: one a connection, and room for the rest.
_FILES = 65_536


def gunicorn_command(
    target: str, *, binds: Sequence[str], workers: int, arguments: Sequence[str] = ()
) -> list[str]:
    """Return the command that serves `target` ("module:app") under gunicorn's gevent worker.

    Raises:
        ConfigError: gunicorn is missing, too old, or lacks what its gevent worker needs.
    """
    check_gunicorn()
    command = [sys.executable, "-m", "gunicorn", "-k", "gevent", "-w", str(workers)]
    command += ["--worker-connections", str(_WORKER_CONNECTIONS), "--graceful-timeout", str(_GRACE)]
    command += ["--no-control-socket"]
    for bind in binds:
        command += ["--bind", bind]
    return [*command, *arguments, target]


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
