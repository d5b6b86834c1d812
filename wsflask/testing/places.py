"""How far a client has received each stream: what it leaves out, and what it asks for when it comes back; no I/O."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Any

__all__ = ["Places"]


@dataclass(slots=True)
class _Place:
    epoch: str
    seq: str


class Places:
    """The positions of a client, as docs/protocol.md tells clients to keep them."""

    def __init__(self) -> None:
        self._streams: dict[str, _Place] = {}
        self._by_channel: dict[str, _Place] = {}

    def take(self, envelope: dict[str, Any]) -> bool:
        """Note a message of the server; return False for one of a stream that was received before."""
        channel, seq = envelope.get("channel"), envelope.get("seq")
        if channel == "stream":
            self._begin(envelope["payload"], seq or "")
        elif channel == "ping" and seq:
            for place in self._streams.values():
                place.seq = max(place.seq, seq)
        elif seq and "id" not in envelope and (known := self._by_channel.get(str(channel))) is not None:
            if seq <= known.seq:
                return False
            known.seq = seq
        return True

    def _begin(self, told: dict[str, Any], seq: str) -> None:
        place = self._streams.get(told["stream"])
        if place is None or told["state"] != "resumed":
            place = self._streams[told["stream"]] = _Place(told["epoch"], seq)
        place.epoch, place.seq = told["epoch"], max(place.seq, seq)
        for channel in told["channels"]:
            self._by_channel[channel] = place

    def added_to(self, url: str) -> str:
        """Return the address of a websocket with the positions in its query."""
        given = [("resume", f"{name}~{place.epoch}~{place.seq}") for name, place in self._streams.items()]
        if not given:
            return url
        return f"{url}{'&' if '?' in url else '?'}{urllib.parse.urlencode(given, safe='~')}"
