"""Real web servers as child processes, with one worker or many."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from flask import Flask

from ..embedded import free_port, start_child, stop_child
from .clients import Client
from .processes import children_of, is_running
from .sockets import Sockets
from .waiting import PATIENCE, wait_until

__all__ = ["Servers", "WebServer"]


class WebServer:
    """A web server that runs as a child process."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sockets: Sockets | None = None,
    ) -> None:
        cwd = cwd or Path.cwd()
        self.port = port
        self._sockets = sockets or Sockets()
        self.base_url = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server
        everything = {**os.environ, **_paths(cwd), "PYTHONUNBUFFERED": "1", **(env or {})}
        self.process = start_child(command, env=everything, cwd=cwd, output=self._log)

    @property
    def ws_url(self) -> str:
        """Where wsflask's websocket is when the blueprint has its default prefix."""
        return f"ws://127.0.0.1:{self.port}/wsflask/ws"

    def client(self, app: Flask | None = None, *, port: int | None = None) -> Client:
        """Return a new browser.

        Args:
            app: the application that is served, loaded in this process too, for `login`.
            port: of a `Proxy` in front; None: the server's own.
        """
        return Client(f"http://127.0.0.1:{port or self.port}", app, self._sockets)

    def await_answers(self, path: str = "/", *, timeout: float = 3 * PATIENCE) -> None:
        """Return when HTTP is answered; fail with the server's log when it is not."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(self.base_url + path, timeout=5).close()  # noqa: S310 - http alone
                return
            except urllib.error.HTTPError as error:
                error.close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"the server did not start (status {self.process.poll()}):\n{self.log()}")

    def workers(self) -> list[int]:
        """Return the process ids of the children (gunicorn's workers)."""
        return children_of(self.process.pid)

    def kill_worker(self, pid: int | None = None, *, number: int = signal.SIGKILL) -> int:
        """Kill a worker, the oldest if none is named, and return its process id when it has ended.

        gunicorn starts another in its place. `number`: another signal than SIGKILL.
        """
        chosen = pid if pid is not None else self.workers()[0]
        os.kill(chosen, number)
        wait_until(lambda: not is_running(chosen), what=f"the end of worker {chosen}")
        return chosen

    def log(self) -> str:
        """Return what the server has printed."""
        return os.pread(self._log.fileno(), 1 << 22, 0).decode(errors="replace")

    def signal(self, number: int) -> None:
        """Send a signal to the server's first process."""
        self.process.send_signal(number)

    def stop(self, *, timeout: float = 5.0) -> int:
        """End the server and its workers; return the exit status."""
        workers = self.workers() if self.process.poll() is None else []
        status = stop_child(self.process, timeout=timeout)
        for pid in workers:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
        return status

    def close(self) -> None:
        """Forget the log."""
        self._log.close()


class Servers:
    """The web servers that one test has started.

    Args:
        folder: from which modules are imported; None: the present one.
    """

    def __init__(self, folder: Path | None = None, sockets: Sockets | None = None) -> None:
        self._folder = folder or Path.cwd()
        self._sockets = sockets or Sockets()
        self._running: list[WebServer] = []

    def gunicorn(
        self,
        target: str,
        *,
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        port: int | None = None,
    ) -> WebServer:
        """Start `target` ("module:app") under gunicorn's gevent worker, with the settings of `wsflask.gunicorn`."""
        port = port or free_port()
        command = [sys.executable, "-m", "gunicorn", "-c", "python:wsflask.gunicorn", "-w", str(workers)]
        command += ["-b", f"127.0.0.1:{port}", "--graceful-timeout", "3"]
        return self.start([*command, *arguments, target], port=port, env=env)

    def pywsgi(self, target: str, *, env: Mapping[str, str] | None = None) -> WebServer:
        """Start `target` under `gevent.pywsgi`, patched."""
        return self._script(target, env, "from gevent import monkey; monkey.patch_all()", _PYWSGI)

    def werkzeug(
        self, target: str, *, env: Mapping[str, str] | None = None, patched: bool = False
    ) -> WebServer:
        """Start `target` under werkzeug's development server: with threads, or greenlets when `patched`."""
        patch = "from gevent import monkey; monkey.patch_all()" if patched else ""
        return self._script(target, env, patch, _WERKZEUG)

    def start(
        self, command: Sequence[str], *, port: int, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> WebServer:
        """Start any command that serves HTTP on `port`, and return when it answers."""
        server = WebServer(command, port, env, cwd or self._folder, self._sockets)
        self._running.append(server)
        server.await_answers()
        return server

    def _script(self, target: str, env: Mapping[str, str] | None, patch: str, body: str) -> WebServer:
        module, _, name = target.partition(":")
        port = free_port()
        text = f"{patch}\nfrom {module} import {name or 'app'} as app\n{body.replace('PORT', str(port))}"
        return self.start([sys.executable, "-c", text], port=port, env=env)

    def run_python(self, text: str, *, env: Mapping[str, str] | None = None, timeout: float = 60.0) -> str:
        """Run a program in a process of its own, as another part of the application would; return its output."""
        everything = {**os.environ, **_paths(self._folder), **(env or {})}
        command = [sys.executable, "-c", text]
        ended = subprocess.run(
            command, cwd=self._folder, env=everything, capture_output=True, text=True, timeout=timeout, check=False
        )
        if ended.returncode != 0:
            raise AssertionError(ended.stdout + ended.stderr)
        return ended.stdout

    def stop(self) -> None:
        """End them all, the latest first."""
        for server in reversed(self._running):
            server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for server in self._running:
            if error is not None:
                sys.stderr.write(f"--- log of {server.base_url}\n{server.log()}\n")
            server.close()


def _paths(folder: Path) -> dict[str, str]:
    """Return the environment in which modules of the folder are found first."""
    more = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": str(folder) + (os.pathsep + more if more else "")}


_PYWSGI = "from gevent.pywsgi import WSGIServer\nWSGIServer(('127.0.0.1', PORT), app).serve_forever()"
_WERKZEUG = "app.run('127.0.0.1', PORT, threaded=True, use_reloader=False)"
