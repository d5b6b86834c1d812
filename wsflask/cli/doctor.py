"""`wsflask doctor`: look for what would go wrong, and say what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from .checks import Finding, check_app, check_database, check_file_limit, check_redis, check_server
from .databases import find_uri, mongodb_option, redacted
from .web import check_target

__all__ = ["doctor"]

_EXAMPLES = """\b
Examples:
  wsflask doctor                  the demonstration that runs, or WSFLASK_MONGODB_URI
  wsflask doctor wsgi:app         an application and its own database
"""

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(epilog=_EXAMPLES, short_help="Look for what would go wrong.")
@click.argument("target", metavar="[MODULE:APP]", required=False)
@mongodb_option
def doctor(target: str | None, mongodb_uri: str | None) -> None:
    """Check the surroundings: one line each with ok, warn or fail, and what to do.

    The exit status is 1 when a check fails. Passwords are never shown.
    """
    failed = False
    for finding in _findings(check_target(target) if target else None, mongodb_uri):
        failed = failed or finding.level == "fail"
        level = click.style(f"{finding.level:4}", fg=_COLORS[finding.level])
        click.echo(f"{level}  {finding.subject:15} {redacted(finding.text)}")
    if failed:
        raise click.exceptions.Exit(1)


def _findings(target: str | None, mongodb_uri: str | None) -> Iterator[Finding]:
    yield check_server()
    yield check_file_limit()
    if target is not None:
        yield from check_app(target)
    yield from check_database(target, find_uri(mongodb_uri, os.environ))
    if target is not None:
        yield from check_redis(target)
