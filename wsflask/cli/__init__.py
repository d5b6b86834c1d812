"""The command line: `wsflask demo`, `serve`, `doctor` and `notify`."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
