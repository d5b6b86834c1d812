"""`python -m wsflask` is the command `wsflask`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main(prog_name="wsflask")
