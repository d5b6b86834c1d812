"""`wsflask demo`: a database, a day of flights and two workers, with one command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click
import mongoengine

from ..embedded import EmbeddedMongo, start_child, stop_child
from ..errors import ConfigError
from .databases import DEMO_DATABASE, connect, mongodb_option, redacted
from .places import RunningDemo, cache_folder, secret_key
from .supervision import ParentWatch, Stopped, stops_on_signals
from .web import check_port, gunicorn_command, raise_file_limit

__all__ = ["demo"]

_EXAMPLES = """\b
Examples:
  wsflask demo
  wsflask demo --port 9000 --speed 10
  wsflask demo --reset
  wsflask demo --mongodb-uri mongodb://db.example.com/desk
"""

_TARGET = "wsflask.demo.wsgi:app"
#: Megabytes of history: a window that was closed for some hours comes back without loading anew.
_OPLOG = 256
#: Seconds until the first page has to be there, until gunicorn has to have ended, and between two looks.
_START, _STOP, _LOOK = 60.0, 8.0, 0.2


@click.command(epilog=_EXAMPLES, short_help="Run the demonstration.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8101, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--speed", type=click.FloatRange(0, 120), help="Minutes of the day that pass in a second.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 64), help="Processes that serve.")
@click.option("--reset", is_flag=True, help="Begin with fresh data.")
@click.option("--keep-running", is_flag=True, help="Go on when the process that started this one has ended.")
@mongodb_option
def demo(
    host: str,
    port: int,
    speed: float | None,
    workers: int,
    reset: bool,
    keep_running: bool,
    mongodb_uri: str | None,
) -> None:
    """Run the demonstration: an airport's departures desk with live data.

    Without a database of yours it starts a MongoDB of its own, whose data stay in your cache folder. Ctrl-C ends
    everything that was started; so does the end of the process that started this one.
    """
    watch = None if keep_running else ParentWatch()
    folder = cache_folder(os.environ)
    try:
        with stops_on_signals(), ExitStack() as stack:
            check_port(host, port)
            environ = _environ(folder, speed)
            database = None if mongodb_uri else _start_mongod(stack, folder)
            uri = mongodb_uri or (database.uri_of(DEMO_DATABASE) if database else "")
            _seed(uri, reset=reset)
            url = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}/"  # noqa: S104
            bind = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            command = gunicorn_command(_TARGET, binds=[bind], workers=workers, arguments=["--log-level", "warning"])
            with _served(command, {**environ, "WSFLASK_MONGODB_URI": uri}) as process:
                _await_page(url, process)
                _step("Web server", f"{workers} workers under gunicorn, pid {process.pid}")
                stack.enter_context(RunningDemo(folder, uri=uri, url=url))
                _introduce(url)
                _watch(process, database, watch)
    except Stopped as stopped:
        click.echo(f"Stopped ({stopped}); nothing is left running.")


def _environ(folder: Path, speed: float | None) -> dict[str, str]:
    environ = {"SECRET_KEY": secret_key(folder), **os.environ}
    if speed is not None:
        environ["WSFLASK_DEMO_SPEED"] = str(speed)
    return environ


def _start_mongod(stack: ExitStack, folder: Path) -> EmbeddedMongo:
    database = EmbeddedMongo(folder / "mongo", mongod=os.environ.get("WSFLASK_MONGOD"), oplog_megabytes=_OPLOG)
    started = time.monotonic()
    stack.enter_context(database)
    took = time.monotonic() - started
    _step("MongoDB", f"a replica set of one in {database.folder}, up in {took:.1f} s")
    return database


def _seed(uri: str, *, reset: bool) -> None:
    # Imported here only: the documents of the demonstration, such as User, have no place in other commands,
    # which may run in the process of somebody's application.
    from ..demo import seed
    from ..demo.models import Flight

    client = connect(uri)
    try:
        seed(reset=reset)
        _step("Flights", f"{Flight.objects.count()} in {redacted(uri)}")
        if not client.admin.command("hello").get("setName"):
            _step("Note", "this MongoDB is no replica set: only changes made by the same worker show up live")
    finally:
        mongoengine.disconnect_all()


@contextmanager
def _served(command: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run gunicorn for the block. It gets SIGTERM, not SIGKILL, when this process dies, to take its workers along."""
    raise_file_limit()
    process = start_child(command, env=environ, death_signal=signal.SIGTERM)
    try:
        yield process
    finally:
        stop_child(process, timeout=_STOP)


def _await_page(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ConfigError(f"the web server ended with status {process.returncode}; it has said why above")
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - our own http address
            return
        except urllib.error.HTTPError as error:
            error.close()
            return
        except OSError:
            time.sleep(_LOOK / 4)
    raise ConfigError(f"no page at {url} within {_START:.0f} s")


def _introduce(url: str) -> None:
    from ..demo.seeding import USERS

    click.echo()
    click.echo(f"  Open {click.style(url, bold=True)} in two windows, one of them private, and sign in as")
    for name, shown, airline in USERS[:2]:
        rights = f"sees the flights of {airline}" if airline else "sees everything"
        click.echo(f"    {name} / {name}".ljust(32) + f"{shown}, {rights}")
    click.echo(f'  Tell somebody:  {_command()} notify --to {USERS[1][0]} "Gate C71 is closed"')
    click.echo("  Ctrl-C ends it.")


def _command() -> str:
    """Return what to type for this very command."""
    if shutil.which("wsflask"):
        return "wsflask"
    return sys.argv[0] if sys.argv[0].endswith("wsflask") else "python -m wsflask"


def _watch(process: subprocess.Popen[bytes], database: EmbeddedMongo | None, parent: ParentWatch | None) -> None:
    """Wait for the end. Raises Stopped or ConfigError, never returns."""
    while True:
        if process.poll() is not None:
            raise ConfigError(f"the web server ended with status {process.returncode}")
        if database is not None and database.pid is None:
            raise ConfigError(f"MongoDB has ended; see {database.log_path}")
        if parent is not None:
            parent.check()
        time.sleep(_LOOK)


def _step(subject: str, text: str) -> None:
    click.echo(f"  {subject:11} {text}")
