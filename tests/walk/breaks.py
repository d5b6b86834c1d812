"""Ways to make the server misbehave: the walk has to notice each of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

from wsflask import Broadcaster, Connection
from wsflask.access import Access, Exposure
from wsflask.protocol.messages import Message

__all__ = ["BREAKS"]

_Service = type[Broadcaster]


def _nothing(service: _Service) -> _Service:
    """Change nothing."""
    return service


def _no_right_check(service: _Service) -> _Service:
    """Let every change through, whether or not the user may read the document."""
    Access.matches = lambda self, *document: True  # type: ignore[method-assign]
    return service


def _hidden_for_all(service: _Service) -> _Service:
    """Show hidden fields to everybody who asks."""
    Exposure.may_see_hidden = lambda self, user: True  # type: ignore[method-assign]
    return service


def _filtered(service: _Service, keep: Callable[[dict[str, Any]], dict[str, Any] | None]) -> _Service:
    """Return the service with each message of a row changed, or left out for None."""

    class Filtered(service):  # type: ignore[misc, valid-type]
        def send_message(self, websocket: Connection, message: Message) -> None:
            payload = json.loads(message.payload_json)
            if "op" in payload:
                kept = keep(payload)
                if kept is None:
                    return
                if kept is not payload:
                    message = Message("documents", kept, seq=message.seq)
            super().send_message(websocket, message)

    return Filtered


def _no_removal(service: _Service) -> _Service:
    """Never tell that a row has left."""
    return _filtered(service, lambda payload: None if payload["op"] == "R" else payload)


def _no_delete(service: _Service) -> _Service:
    """Never tell that a document was deleted."""
    return _filtered(service, lambda payload: None if payload["op"] == "D" else payload)


def _lost_messages(service: _Service) -> _Service:
    """Leave one of 200 changes out."""
    numbers = itertools.count(1)
    return _filtered(service, lambda payload: None if payload["op"] in "IU" and next(numbers) % 200 == 0 else payload)


def _no_order(service: _Service) -> _Service:
    """Put every changed row first."""
    return _filtered(
        service, lambda payload: {**payload, "after": None} if payload.get("after") is not None else payload
    )


def _old_rights(service: _Service) -> _Service:
    """Go on with the rights that users had when they subscribed."""

    class Deaf(service):  # type: ignore[misc, valid-type]
        def on_rights_changed(self, ws: Connection, user: Any) -> None:
            pass

    return Deaf


def _forgetful(service: _Service) -> _Service:
    """Resume, but without what was missed."""

    class Forgetful(service):  # type: ignore[misc, valid-type]
        def send_message(self, websocket: Connection, message: Message) -> None:
            payload = json.loads(message.payload_json)
            if "op" in payload and payload["op"] in "IUDR" and payload["view"] in _resumed.get(websocket, ()):
                return
            super().send_message(websocket, message)

        def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
            view = str(message.get("data", {}).get("view")) if isinstance(message, dict) else ""
            _resumed.setdefault(ws, set()).add(view)
            try:
                return super().on_message(ws, user, message)
            finally:
                _resumed.pop(ws)

    _resumed: dict[Connection, set[str]] = {}
    return Forgetful


#: Name to what makes of the service another one.
BREAKS: dict[str, Callable[[_Service], _Service]] = {
    "nothing": _nothing,
    "no-right-check": _no_right_check,
    "hidden-for-all": _hidden_for_all,
    "no-removal": _no_removal,
    "no-delete": _no_delete,
    "lost-messages": _lost_messages,
    "no-order": _no_order,
    "old-rights": _old_rights,
    "no-resume": _forgetful,
}
