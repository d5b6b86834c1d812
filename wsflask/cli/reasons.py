"""Why connections fail, and what an operator can do about each reason."""

from __future__ import annotations

from typing import Final

from .client import NOT_WSFLASK, Failed
from .target import Target

__all__ = ["advice", "sentence"]

_MOVED: Final = "it redirects; give the URL it leads to, or a session with --cookie"
_PROXY: Final = "the proxy does not reach the application"
#: By HTTP status, close code, or word; {origin} and {host} are those of the target.
_ADVICE: Final = {
    "301": _MOVED,
    "302": _MOVED,
    "307": _MOVED,
    "308": _MOVED,
    "400": "the handshake is spoilt on its way; a proxy has to speak HTTP/1.1 to the application",
    "401": "whoever answers wants a login first; give a session with --cookie, or use --login",
    "403": "the origin {origin} is not allowed; give the UI's own with --origin, or list it in WSFLASK_ORIGINS",
    "404": "there is no WebSocket at this path; give its own URL, such as wss://{host}/wsflask/ws",
    "426": "the upgrade gets lost on its way; a proxy has to pass the headers Upgrade and Connection on",
    "429": "a proxy limits how fast one address may connect; lower --rate",
    "502": _PROXY,
    "503": "full (WSFLASK_MAX_CONNECTIONS in each worker), restarting, or without its database",
    "504": _PROXY,
    "1006": "the connection just ended: a worker or a proxy was killed, or one side speaks TLS and the other does not",
    "1011": "a mistake of the server; its log says which",
    "1012": "the server restarted",
    "1013": "the server could not greet the client; its log says why",
    "4001": "not read fast enough; this machine, or the network, is too slow",
    "4003": "too many messages a second; lower --pings",
    "4004": "no sign of life in time; this machine, or the network, is too slow",
    "4501": "no session, or it has ended: sign in; give --cookie 'session=…', or use --login",
    "4503": "the user may not connect",
    "4504": "more than WSFLASK_CONNECTIONS_PER_USER connections in one worker; give sessions of more users",
    "EADDRNOTAVAIL": "this machine has no port left for one more connection to the same server",
    "EMFILE": "this process may not open more files; raise ulimit -n",
    "certificate": "the certificate is not to be trusted; --insecure takes it all the same",
    "refused": "nobody listens there any more",
    "timeout": "no welcome in time; look at gunicorn's --worker-connections",
    "tls": "no TLS is spoken there; give the URL with http://",
    NOT_WSFLASK: "something else answers there; give the WebSocket's own URL, such as wss://{host}/wsflask/ws",
}


def advice(reason: str, target: Target) -> str:
    """Return what a reason means and what to do; "" for one that says nothing by itself."""
    return _ADVICE.get(reason, "").format(origin=target.origin, host=target.netloc)


def sentence(failed: Failed, target: Target) -> str:
    """Return what to tell of a failure, with what the server has said."""
    said = f" ({failed.detail})" if failed.detail else ""
    meaning = advice(failed.reason, target) or "no connection"
    return f"{target.url}: {failed.reason}{said}: {meaning}"
