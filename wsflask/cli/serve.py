"""`wsflask serve`: one's own application under gunicorn, with settings that fit."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from .web import check_port, check_settings, check_target, gunicorn_command, raise_file_limit

__all__ = ["serve"]

_EXAMPLES = """\b
Examples:
  wsflask serve wsgi:app
  wsflask serve wsgi:app --workers 4 --host 0.0.0.0 --port 80
  wsflask serve wsgi:app --bind unix:/run/ui.sock
  wsflask serve wsgi:app -- --access-logfile - --timeout 60
"""


@click.command(epilog=_EXAMPLES, short_help="Serve an application under gunicorn.")
@click.argument("target", metavar="MODULE:APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8101, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--bind", "binds", multiple=True, metavar="ADDRESS", help="gunicorn's own form, instead of both.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1, 512), help="Processes that serve.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(
    target: str, host: str, port: int, binds: tuple[str, ...], workers: int, arguments: tuple[str, ...]
) -> None:
    """Serve the Flask application MODULE:APP under gunicorn's gevent worker.

    The module is looked for in the current folder first. What stands behind -- goes to gunicorn as it is. gunicorn's
    settings are those of the module wsflask.gunicorn; your own file (-- -c FILE) may begin with them.
    gunicorn takes the place of this process, so signals and the exit status are gunicorn's.
    """
    target = check_target(target)
    check_settings(arguments, Path.cwd())
    if not binds:
        check_port(host, port)
        binds = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}",)
    command = gunicorn_command(target, binds=binds, workers=workers, arguments=arguments)
    raise_file_limit()
    click.echo(f"Serve {target} on {', '.join(binds)} with {workers} workers under gunicorn")
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted
