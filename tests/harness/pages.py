"""Blocks of the documentation, to be run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

from .basics import ROOT

__all__ = ["block", "write_application"]

#: The application that the reader is supposed to have.
APPLICATION = """
from gevent import monkey

monkey.patch_all()

import os

from flask import render_template_string
from tests.apps.desk import Flight, User, create_app

app = create_app(os.environ["URI"])

{snippet}

app.add_url_rule("/page", view_func=lambda: render_template_string({page!r}))
"""


def block(document: str, language: str, containing: str) -> str:
    """Return the block of a document that has this text in it."""
    text = (ROOT / document).read_text()
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    (found,) = (each for each in blocks if containing in each)
    return found


def write_application(folder: Path) -> None:
    """Write the application of the README into a folder, as `ui.py`."""
    snippet = block("README.md", "python", "WebSocketServer(")
    page = block("README.md", "html", "connect()")
    (folder / "ui.py").write_text(APPLICATION.format(snippet=snippet, page=page))
