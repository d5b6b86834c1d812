"""Read what the desk's forms send: a value, or a sentence that says what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["FORMS", "FlightForm", "FormError"]

_GATE = re.compile(r"[A-Z0-9]{1,2}-?[0-9]{1,3}")
#: The latest a flight can be held, in minutes.
_LONGEST_DELAY = 600


class FormError(ValueError):
    """The sentence that is shown beside the field."""


@dataclass(frozen=True, slots=True)
class FlightForm:
    """One form of the flight page: it sets one field of the flight."""

    field: str
    read: Callable[[str], Any]
    done: str
    supervisor_only: bool = False
    #: Whether it makes no sense once the flight has left or is cancelled.
    before_departure: bool = False


def _gate(text: str) -> str:
    gate = text.strip().upper()
    if not gate:
        raise FormError("Enter a gate.")
    if not _GATE.fullmatch(gate):
        raise FormError("A gate looks like C71 or 8-14.")
    return gate


def _delay(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text.strip(), re.ASCII):
        raise FormError("Enter the delay in whole minutes.")
    minutes = int(text)
    if minutes > _LONGEST_DELAY:
        raise FormError(f"A flight is held {_LONGEST_DELAY} minutes at most.")
    return minutes


def _line(longest: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        line = " ".join(text.split())
        if len(line) > longest:
            raise FormError(f"At most {longest} characters; these are {len(line)}.")
        return line

    return read


#: The forms by the last part of their address.
FORMS = {
    "gate": FlightForm("gate", _gate, "Gate saved.", before_departure=True),
    "delay": FlightForm("held", _delay, "Delay saved.", before_departure=True),
    "remark": FlightForm("remark", _line(140), "Remark saved."),
    "crew-remark": FlightForm("crew_remark", _line(280), "Crew remark saved.", supervisor_only=True),
}
