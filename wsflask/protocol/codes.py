"""The names and codes of the wire; `static/wsflask/protocol.js` holds the same, and a test compares them."""

from __future__ import annotations

from typing import Final

__all__ = ["CLOSE_CODES", "ERRORS", "RESERVED_CHANNELS", "SUBPROTOCOL", "CloseCode"]

#: Offered by clients that want ids, positions, heartbeats and a goodbye.
SUBPROTOCOL: Final = "wsflask.v1"

#: Channels that only the server itself speaks on.
RESERVED_CHANNELS: Final = ("welcome", "error", "goodbye", "ping", "pong", "stream", "health")

#: In-band codes and the fixed sentence a client gets with each; never the input, a class name, a path or a stack.
ERRORS: Final[dict[str, str]] = {
    "bad_json": "The message is not strict JSON.",
    "bad_envelope": "A message is an object with a channel and a payload.",
    "unknown_channel": "There is no such channel.",
    "bad_action": "The channel has no such action.",
    "bad_data": "The data does not fit the action.",
    "too_big": "That is more than the limit allows.",
    "too_deep": "The message is nested too deeply.",
    "forbidden": "That is not allowed.",
    "not_found": "There is no such thing, or not for you.",
    "conflict": "Somebody else changed it meanwhile; try again.",
    "rate_limited": "Too many messages; slow down.",
    "unavailable": "The service cannot answer now; try again later.",
    "internal": "Something went wrong on the server.",
}


class CloseCode:
    """Why a connection was closed: RFC 6455 section 7.4.1, and our own from 4000 on.

    4000 to 4499 mean: come back. 4500 to 4999 mean: do not.
    """

    NORMAL: Final = 1000
    GOING_AWAY: Final = 1001
    PROTOCOL_ERROR: Final = 1002
    UNSUPPORTED_DATA: Final = 1003
    NO_STATUS: Final = 1005
    ABNORMAL: Final = 1006
    INVALID_DATA: Final = 1007
    TOO_BIG: Final = 1009
    INTERNAL_ERROR: Final = 1011
    RESTART: Final = 1012
    OVERLOAD: Final = 1013
    SLOW_CONSUMER: Final = 4001
    POSITION_LOST: Final = 4002
    RATE_LIMITED: Final = 4003
    NO_HEARTBEAT: Final = 4004
    SESSION_ENDED: Final = 4501
    FORBIDDEN: Final = 4503
    TOO_MANY_CONNECTIONS: Final = 4504
    TOO_MANY_BAD_MESSAGES: Final = 4508


#: Every close code by name.
CLOSE_CODES: Final[dict[str, int]] = {
    name: value for name, value in vars(CloseCode).items() if name.isupper() and isinstance(value, int)
}
