"""`wsflask bench`: measure a deployment of one's own."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import IO

import click
import gevent

from ..errors import ConfigError
from .load import Load, Plan
from .reasons import advice
from .sign_in import sign_in
from .target import Target, find_target
from .web import file_limit, raise_file_limit

__all__ = ["bench"]

_EXAMPLES = """\b
Examples:
  wsflask bench https://ui.example.com --login /login --field username=ann --field password -n 10
  wsflask bench http://127.0.0.1:8101 --cookies sessions.txt -n 1000 --rate 200 --pings 500
  wsflask bench wss://ui.example.com/wsflask/ws --cookie 'session=eyJ…' --json
"""

#: Connections that one machine can have to one address.
_MOST = 60_000
#: Files a process opens beside its connections.
_OTHER_FILES = 50
#: Seconds between two looks of the line that shows how far it is.
_LOOK = 0.5


@click.command(epilog=_EXAMPLES, short_help="Measure a deployment.")
@click.argument("url")
@click.option(
    "-n", "--connections", default=100, show_default=True, type=click.IntRange(1, _MOST), help="How many to open."
)
@click.option(
    "--rate", default=100.0, show_default=True, type=click.FloatRange(0.1, 10_000), help="Connects a second."
)
@click.option(
    "--duration", default=10.0, show_default=True, type=click.FloatRange(0), help="Seconds, once all are connected."
)
@click.option(
    "--pings", default=100.0, show_default=True, type=click.FloatRange(0, 100_000), help="Pings a second, all together."
)
@click.option("--cookie", "cookies", multiple=True, metavar="NAME=VALUE", help="A session; may be given repeatedly.")
@click.option("--cookies", "file", type=click.File(), metavar="FILE", help="Sessions, one a line; - reads stdin.")
@click.option("--login", metavar="PATH", help="Sign in with the form there.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of the form. NAME alone asks for the value; a NAME given again is one more user.",
)
@click.option("--origin", help="The page to come from.  [default: the URL's own origin]")
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def bench(
    url: str,
    connections: int,
    rate: float,
    duration: float,
    pings: float,
    cookies: tuple[str, ...],
    file: IO[str] | None,
    login: str | None,
    fields: tuple[str, ...],
    origin: str | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Open many connections to a deployment of yours, ping it, and print what it took.

    URL is that of the UI, http(s)://host[:port], or of its WebSocket, ws(s)://host[:port]/wsflask/ws. Sessions are used
    in turn. Pings keep to the limit that the server tells. The exit status is 1 when a connection fails or is lost.
    """
    sessions = [*cookies, *(line.strip() for line in file or ())]
    sessions = [_checked(session) for session in sessions if session]
    if bool(fields) != bool(login):
        raise click.UsageError("--login and --field belong together")
    _check_files(connections)
    target = find_target(url, origin=origin, is_insecure=insecure)
    if login:
        sessions += [sign_in(target.base_url, login, form, is_insecure=insecure) for form in _forms(fields)]
    load = Load(target, Plan(connections, rate, duration, pings), sessions)
    with _progress(load, connections):
        is_stopped = not _run(load)
    click.echo(_json(load, target) if as_json else _table(load, target))
    if is_stopped:
        raise click.Abort
    if not load.figures.is_good or len(load.figures.welcome) < connections:
        raise click.exceptions.Exit(1)


def _checked(session: str) -> str:
    if "=" not in session or not session.isascii() or not session.isprintable():
        raise click.BadParameter("a session is written name=value, as in session=eyJ…", param_hint="--cookie")
    return session


def _forms(fields: Sequence[str]) -> list[dict[str, str]]:
    """Return what to fill in for each user, one more for each time that a field was repeated.

    A value that is not given is asked for, so that no shell remembers it.
    """
    values: dict[str, list[str]] = {}
    for field in fields:
        name, separator, value = field.partition("=")
        values.setdefault(name, []).append(value if separator else click.prompt(name, hide_input=True, err=True))
    users = max(len(given) for given in values.values())
    return [{name: given[min(user, len(given) - 1)] for name, given in values.items()} for user in range(users)]


def _check_files(connections: int) -> None:
    raise_file_limit()
    limit, wanted = file_limit(), connections + _OTHER_FILES
    if limit is not None and limit < wanted:
        raise ConfigError(
            f"{connections} connections take {wanted} open files, and this process may have {limit}; "
            f"raise `ulimit -n`, or open fewer: -n {max(limit - _OTHER_FILES, 1)}"
        )


def _run(load: Load) -> bool:
    """Run it; return False when it was interrupted by Ctrl-C."""
    # Python's own handler would raise in whichever client runs, and gevent would print its traceback.
    handler = gevent.signal_handler(signal.SIGINT, gevent.kill, gevent.getcurrent(), KeyboardInterrupt)
    try:
        load.run()
    except KeyboardInterrupt:
        return False
    finally:
        handler.cancel()
    return True


@contextmanager
def _progress(load: Load, connections: int) -> Iterator[None]:
    """Say meanwhile how far it is, on a terminal."""
    if not sys.stderr.isatty():
        yield
        return

    def show() -> None:
        while True:
            lost = load.figures.failed.total() + load.figures.lost.total()
            answered = len(load.figures.pings)
            line = f"{load.open} of {connections} connected, {lost} failed, {answered} pings answered"
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)
            gevent.sleep(_LOOK)

    shown = gevent.spawn(show)
    try:
        yield
    finally:
        shown.kill()
        click.echo("\r\x1b[K", err=True, nl=False)


def _json(load: Load, target: Target) -> str:
    return json.dumps({"url": target.url, "asked": asdict(load.plan), **load.figures.as_json()}, indent=2)


def _table(load: Load, target: Target) -> str:
    plan, figures = load.plan, load.figures
    asked = f"{plan.connections:,} connections at {plan.rate:g} a second"
    held = f"{plan.duration:g} s with {plan.pings:g} pings a second"
    lines = [target.url, f"{asked}, then {held}", "", figures.table(lambda reason: advice(reason, target))]
    if figures.pings_allowed is not None and plan.pings > figures.pings_allowed:
        lines += ["", f"The server takes {figures.pings_allowed:,.0f} messages a second from these; no more were sent."]
    if figures.pings_skipped:
        lines += ["", f"{figures.pings_skipped:,} pings were not sent: the ones before them had no answer yet."]
    return "\n".join(lines)
