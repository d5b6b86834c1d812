"""All that the departures desk does to become real-time: a server, what it exposes, and whom it tells."""

from __future__ import annotations

from typing import Any

from wsflask import Broadcaster, Clipboard, Notification, Notifier, Presence, WebSocketServer

from .models import Airline, Clock, Flight, User

__all__ = ["create_server", "tell_staff"]

#: What a browser may read of a flight; `crew_remark` only with the right to see what is hidden.
_FIELDS = (
    "carrier", "number", "flight", "tail", "origin", "destination", "destination_name", "airline",
    "scheduled", "estimated", "departed", "landed", "gate", "status", "delay", "remark",
)  # fmt: skip
_WARNING = 30


def create_server() -> WebSocketServer:
    """Return the server with the desk's documents exposed."""
    presence = Presence(may_join=_may_join, describe=_describe)
    server = WebSocketServer(services=[Notifier, Clipboard, Broadcaster, presence])
    server.expose(
        Flight,
        fields=_FIELDS,
        hidden=("crew_remark",),
        read=_flights_of,
        show_hidden=lambda user: user.is_supervisor,
        label="flight",
        key_sets={"carrier": ("carrier",)},
    )
    server.expose(Airline, fields=("name",), read=lambda user: True, label="name")
    server.expose(Clock, fields=("now", "speed", "round"), read=lambda user: True)
    return server


def _flights_of(user: User) -> list[dict[str, Any]]:
    """Return the flights a user may read: the staff those of their airline, the supervisor all."""
    if user.is_supervisor:
        return [{"obj": "Flight/*", "act": "read"}]
    return [{"obj": f"Flight/carrier/{user.airline}", "act": "read"}]


def _may_join(user: User, room: str) -> bool:
    """Return whether a user may be where others see him: at the board, or at a flight that he may see."""
    kind, _, flight_id = room.partition(":")
    if kind == "flight":
        return user.is_supervisor or flight_id.startswith(str(user.airline))
    return room == "board"


def _describe(user: User) -> dict[str, str]:
    """Return what others are shown of a user."""
    return {"name": user.name, "code": user.airline or "ALL"}


def tell_staff(flight: Flight) -> None:
    """Notify the airline's staff and the supervisors that a flight is more than an hour late."""
    late = f"{flight.flight} to {flight.destination_name} is {flight.delay} minutes late"
    Notification(
        message=f"{late}, from gate {flight.gate}." if flight.gate else f"{late}.",
        category=_WARNING,
        groups=[f"airline:{flight.carrier}", "supervisors"],
        actions=[{"label": "Open the flight", "path": f"flights/{flight.id}"}],
    ).save()
