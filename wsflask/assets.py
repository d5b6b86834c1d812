"""Where the files that browsers get lie: beside the code in a wheel, at the top of a checkout."""

from __future__ import annotations

from pathlib import Path

__all__ = ["STATIC", "TEMPLATES"]

_PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    shipped = _PACKAGE / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name


#: Absolute folder of the JS client and the demo's assets.
STATIC = _folder("static")
#: Absolute folder of the templates; all of them lie under `wsflask/`, so that an application's own win.
TEMPLATES = _folder("templates")
