"""The command `wsflask`, which gathers the others."""

from __future__ import annotations

from typing import Any

import click

from ..errors import WSFlaskError
from .bench import bench
from .demo import demo
from .doctor import doctor
from .explain import explain_document
from .notify import notify
from .serve import serve

__all__ = ["main"]


class _Commands(click.Group):
    """Commands whose errors on purpose are one sentence and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except WSFlaskError as error:
            raise click.ClickException(str(error)) from error


@click.group(
    cls=_Commands,
    commands=[demo, serve, doctor, explain_document, notify, bench],
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="See each command's own help: wsflask demo --help",
)
@click.version_option(package_name="wsflask", message="wsflask %(version)s")
def main() -> None:
    """Live notifications, a shared clipboard and live documents for a Flask UI."""
