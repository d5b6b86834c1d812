"""The rows of the table: what is done to a stand under load, and what has to hold."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from .stand import Needs, Stand
from .trial import Trial

__all__ = ["ROWS", "Row", "load_rows", "row"]

_MODULES = (
    "workers", "deploys", "replies", "primary", "database", "history", "brokers", "network", "stalls", "readers",
    "crowd", "clock", "absence", "joining", "rights", "hooks", "people", "hostile", "fronts",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    name: str
    #: The fault, in words.
    fault: str
    #: What has to hold.
    holds: str
    needs: Needs
    act: Callable[[Stand, Trial], None]
    #: Why it can not be run here, if so.
    obstacle: Callable[[], str | None]
    #: Whether it is part of the short run.
    is_quick: bool
    #: Whether there is a stand with the load on, to be at rest and judged afterwards.
    is_judged: bool
    #: Whether tabs may be told that something may be missing.
    may_reset: bool


#: Every row by name, in the order of the table.
ROWS: dict[str, Row] = {}

_Act = Callable[[Stand, Trial], None]


def row(
    name: str,
    fault: str,
    holds: str,
    *,
    needs: Needs | None = None,
    obstacle: Callable[[], str | None] = lambda: None,
    is_quick: bool = True,
    is_judged: bool = True,
    may_reset: bool = False,
) -> Callable[[_Act], _Act]:
    """Make a row of a function that does the harm."""

    def decorate(act: _Act) -> _Act:
        ROWS[name] = Row(name, fault, holds, needs or Needs(), act, obstacle, is_quick, is_judged, may_reset)
        return act

    return decorate


def load_rows() -> dict[str, Row]:
    """Return all rows."""
    for module in _MODULES:
        importlib.import_module(f".{module}", "tests.faults.table")
    return ROWS
