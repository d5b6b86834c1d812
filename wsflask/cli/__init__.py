"""The command line: `wsflask demo`, `serve`, `doctor`, `notify` and `bench`."""

from __future__ import annotations

from .main import main

__all__ = ["main"]
