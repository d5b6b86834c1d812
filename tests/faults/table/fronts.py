"""What stands in front of the workers is reloaded: nginx, haproxy."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from wsflask.embedded import free_port, start_child, stop_child
from wsflask.testing.processes import children_of

from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial

#: Seconds of silence after which the front ends a connection, and the server's pings, which come oftener.
_IDLE, _PING = 5, 2.0

_NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; worker_shutdown_timeout 1s;
{user}
events {{ worker_connections 4000; }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{target}; proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_set_header Host $http_host;
    proxy_read_timeout {idle}s; proxy_send_timeout {idle}s; }} }} }}
"""

_HAPROXY = """
global
  maxconn 4000
  hard-stop-after 1s
defaults
  mode http
  timeout connect 5s
  timeout client {idle}s
  timeout server {idle}s
  timeout tunnel {idle}s
frontend front
  bind 127.0.0.1:{port}
  default_backend back
backend back
  server app 127.0.0.1:{target}
"""

_HOLDS = "as a deploy; an idle connection lives on its pings"


def _needs(name: str) -> Needs:
    return Needs(is_empty=True, settings=(("WSFLASK_PING_INTERVAL", _PING),), alone=name)


def _obstacle(name: str) -> str | None:
    return None if shutil.which(name) else f"needs {name}; on Debian and Ubuntu: apt-get install {name}"


@row("nginx", "reload of nginx in front; its idle timeout", _HOLDS, needs=_needs("nginx"),
     obstacle=lambda: _obstacle("nginx"), is_quick=False)  # fmt: skip
def nginx(stand: Stand, trial: Trial) -> None:
    _front(stand, trial, "nginx", ["-c"], _NGINX, signal.SIGHUP)


@row("haproxy", "reload of haproxy in front; its idle timeout", _HOLDS, needs=_needs("haproxy"),
     obstacle=lambda: _obstacle("haproxy"), is_quick=False)  # fmt: skip
def haproxy(stand: Stand, trial: Trial) -> None:
    _front(stand, trial, "haproxy", ["-W", "-f"], _HAPROXY, signal.SIGUSR2)


def _front(stand: Stand, trial: Trial, name: str, arguments: list[str], config: str, number: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{name}-"))
    port = free_port()
    user = "user root;" if os.getuid() == 0 else ""
    path = folder / "conf"
    path.write_text(config.format(folder=folder, port=port, target=stand.server.port, idle=_IDLE, user=user))
    program = shutil.which(name)
    assert program is not None
    front = start_child([program, *arguments, str(path)])
    try:
        stand.wait(1)
        stand.fleet.open(
            [stand.fleet.tab(user, tab, port, kind=name) for user in range(stand.load.users) for tab in range(2)]
        )
        quiet = [stand.fleet.tab(user, 9, port, commands=False, view=None) for user in range(4)]
        stand.fleet.open(quiet)
        stand.go()
        stand.wait(3 * _IDLE)
        names = {tab["name"] for tab in quiet}
        lost = [each["name"] for each in stand.fleet.collect() if _closes(each, 0.0)]
        trial.check(
            f"{len(lost)} tabs lost their connection though the server pings: {sorted(names & set(lost))}", not lost
        )
        for _ in range(1 if trial.is_short else 3):
            began, before = time.monotonic(), set(children_of(front.pid))
            front.send_signal(number)
            stand.wait(6)
            after = set(children_of(front.pid))
            trial.saw(f"{name}'s processes {sorted(before)} became {sorted(after)}", not before & after)
            closes = sum(_closes(each, began) for each in stand.fleet.collect())
            trial.saw(f"{closes} connections ended", closes)
        stand.rest(trial)
        stand.fleet.close(stand.fleet.names)
    finally:
        stand.halt()
        stop_child(front, timeout=3)
        shutil.rmtree(folder, ignore_errors=True)


def _closes(told: dict[str, object], since: float) -> int:
    states: list[tuple[float, str, int, str]] = told["states"]  # type: ignore[assignment]
    return sum(state == "waiting" and when >= since for when, state, *_ in states)
