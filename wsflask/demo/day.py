"""The day that is replayed, as read from the CSV files."""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

__all__ = ["FIRST_START", "RESTART", "START", "Plan", "airlines", "plans", "values_of"]

_DATA = Path(__file__).resolve().parent / "data"

#: Where each round of the replay begins: 04:30 in New York, half an hour before the first departure.
START = datetime(2013, 11, 27, 9, 30, tzinfo=UTC)
#: Where the very first round begins: 14:10 in New York, when the board is lively.
FIRST_START = datetime(2013, 11, 27, 19, 10, tzinfo=UTC)
#: When the day is over: 02:00 in New York, when all have left and most have landed.
RESTART = datetime(2013, 11, 28, 7, 0, tzinfo=UTC)

#: Terminal and gates by origin and carrier. Made up: the source knows no gates.
_GATES = {
    "EWR": ({"UA": ("C", 70, 139), "EV": ("A", 20, 28)}, ("A", 10, 39)),
    "JFK": ({"B6": ("5-", 1, 30), "DL": ("4-", 20, 43), "AA": ("8-", 1, 46)}, ("7-", 1, 12)),
    "LGA": ({"DL": ("D", 1, 11), "US": ("C", 28, 42), "AA": ("D", 1, 10), "MQ": ("C", 1, 14)}, ("B", 1, 8)),
}
_CREW_REMARKS = (
    "Captain on duty limit from 21:30.",
    "Unaccompanied minor in 12A, hand over to the gate agent.",
    "Jump seat taken by a deadheading crew.",
    "Cabin light row 7 deferred, see tech log.",
    "Medical oxygen aboard, two bottles.",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a flight did on the day: what the board has not yet shown."""

    id: str
    carrier: str
    number: int
    tail: str
    origin: str
    destination: str
    destination_name: str
    gate: str
    crew_remark: str
    scheduled: datetime
    departed: datetime | None
    landed: datetime | None


@cache
def plans() -> tuple[Plan, ...]:
    """Return every flight of the day in the order of their scheduled departures."""
    names = {row["code"]: row["name"] for row in _rows("airports.csv")}
    return tuple(_plan(row, names) for row in _rows("flights.csv"))


@cache
def airlines() -> dict[str, str]:
    """Return the names of the airlines by code."""
    return {row["carrier"]: row["name"] for row in _rows("airlines.csv")}


def values_of(record: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as they are; `asdict` would copy every moment."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _plan(row: dict[str, str], names: dict[str, str]) -> Plan:
    key = f"{row['carrier']}{row['number']}-{row['origin']}"
    number = crc32(key.encode())
    return Plan(
        id=key,
        carrier=row["carrier"],
        number=int(row["number"]),
        tail=row["tail"],
        origin=row["origin"],
        destination=row["destination"],
        destination_name=names[row["destination"]],
        gate=_gate(row["origin"], row["carrier"], number),
        crew_remark=_CREW_REMARKS[number % len(_CREW_REMARKS)] if number % 6 == 0 else "",
        scheduled=datetime.fromisoformat(row["scheduled_departure"]),
        departed=_moment(row["actual_departure"]),
        landed=_moment(row["actual_arrival"]),
    )


def _gate(origin: str, carrier: str, number: int) -> str:
    by_carrier, other = _GATES[origin]
    terminal, first, last = by_carrier.get(carrier, other)
    return f"{terminal}{first + number % (last - first + 1)}"


def _moment(text: str) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _rows(name: str) -> list[dict[str, str]]:
    with (_DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
