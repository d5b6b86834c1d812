"""Which tabs are connected to this process, in which rooms, and which may come back yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ...connection import Connection
from ...errors import Refusal
from .store import Key

__all__ = ["Seat", "Seats"]

#: Tabs of one user that may be awaited in one process; one more, and the first of them has left.
_AWAITED_PER_USER = 100


@dataclass(slots=True, eq=False)
class Seat:
    """A tab in a room. The connection that took it last has it; None: it is awaited."""

    key: Key
    about: str
    meta: str
    session_id: str
    ws: Connection | None


class Seats:
    """The seats of this process. Whatever changes returns the keys of which the store has to be told.

    Args:
        linger: seconds for which a tab is awaited that has lost its connection.
        most: rooms that a connection may be in.
    """

    def __init__(self, linger: float, most: int) -> None:
        self._linger = linger
        self._most = most
        self._seats: dict[Key, Seat] = {}
        #: The key of each room that a connection is in: somebody else may have the seat by now.
        self._rooms: dict[Connection, dict[str, Key]] = {}
        self._audience: dict[str, dict[Connection, None]] = {}
        #: Monotonic time until which a tab is awaited, the first to be given up first.
        self._awaited: dict[Key, float] = {}
        self._awaited_of: Counter[str] = Counter()
        #: Those who were awaited in vain, until the store has heard of it.
        self._leaving: dict[Key, Seat] = {}

    def all_keys(self) -> list[Key]:
        """Return the keys of all seats."""
        return list(self._seats)

    def get(self, key: Key) -> Seat | None:
        """Return the seat, also one that is awaited."""
        return self._seats.get(key)

    def audience(self, room: str) -> list[Connection]:
        """Return the connections that are in the room."""
        return list(self._audience.get(room, ()))

    def rooms_of(self, ws: Connection) -> list[str]:
        """Return the rooms that the connection is in."""
        return list(self._rooms.get(ws, ()))

    @property
    def first_deadline(self) -> float | None:
        """When the next tab is given up; None: none is awaited."""
        return next(iter(self._awaited.values()), None)

    # --- what clients do

    def sit(self, ws: Connection, key: Key, about: str, meta: str) -> list[Key]:
        """Have the connection in the room, as this tab; in place of another that it was there.

        Raises:
            Refusal: too_big: it is in as many rooms as it may be.
        """
        room = key[0]
        rooms = self._rooms.get(ws, {})
        if room not in rooms and len(rooms) >= self._most:
            raise Refusal("too_big")
        told = [] if rooms.get(room, key) == key else self.rise(ws, room)
        self._rooms.setdefault(ws, {})[room] = key
        self._audience.setdefault(room, {})[ws] = None
        return told + self._take(ws, key, about, meta)

    def update(self, ws: Connection, room: str, meta: str) -> list[Key]:
        """Have the connection's tab show other metadata.

        Raises:
            Refusal: not_found: it is not in the room, or another connection with the tab's name has left that.
        """
        key = self._rooms.get(ws, {}).get(room)
        seat = self._seats.get(key) if key is not None else None
        if seat is None:
            raise Refusal("not_found")
        return self._take(ws, seat.key, seat.about, meta)

    def describe(self, ws: Connection, room: str, about: str) -> list[Key]:
        """Have something else shown of the connection's user, if it has the seat."""
        key = self._rooms.get(ws, {}).get(room)
        seat = self._seats.get(key) if key is not None else None
        if seat is None or seat.ws is not ws or seat.about == about:
            return []
        seat.about = about
        return [seat.key]

    def rise(self, ws: Connection, room: str) -> list[Key]:
        """Have the connection leave the room."""
        key = self._forget(ws, room)
        seat = self._seats.get(key) if key is not None else None
        if seat is None or seat.ws is not ws:
            return []
        return [self._drop(seat.key)]

    def disconnected(self, ws: Connection, now: float, *, is_final: bool) -> list[Key]:
        """Have the connection's tabs awaited, or given up at once if that was final."""
        told: list[Key] = []
        for room in self.rooms_of(ws):
            if is_final:
                told += self.rise(ws, room)
            elif (key := self._forget(ws, room)) is not None:
                seat = self._seats.get(key)
                if seat is not None and seat.ws is ws:
                    seat.ws = None
                    told += self._await(seat, now)
        return told

    # --- what time does

    def expire(self, now: float) -> list[Key]:
        """Give up those who were awaited until now."""
        told = []
        while (deadline := self.first_deadline) is not None and deadline <= now:
            told.append(self._give_up(next(iter(self._awaited))))
        return told

    def postpone(self, now: float) -> None:
        """Await them all anew: they may be back elsewhere, and that could not be told."""
        self._awaited = dict.fromkeys(self._awaited, now + self._linger)

    def written(self, keys: Iterable[Key]) -> None:
        """Note that the store has heard of these."""
        for key in keys:
            self._leaving.pop(key, None)

    def not_written(self, keys: Iterable[Key], now: float) -> list[Key]:
        """Note that the store has not heard of these: who was awaited in vain is awaited anew."""
        told: list[Key] = []
        for key in keys:
            seat = self._leaving.pop(key, None)
            if seat is not None and key not in self._seats:
                self._seats[key] = seat
                told += self._await(seat, now)
        return told

    def sessions_ended(self, session_ids: set[str]) -> list[Key]:
        """Give up at once who is awaited in one of these sessions."""
        ended = [key for key in self._awaited if self._seats[key].session_id in session_ids]
        return [self._drop(key) for key in ended]

    # --- inside

    def _take(self, ws: Connection, key: Key, about: str, meta: str) -> list[Key]:
        seat = self._seats.get(key)
        if seat is None:
            self._leaving.pop(key, None)
            self._seats[key] = Seat(key, about, meta, ws.identity.session_id, ws)
            return [key]
        self._no_longer_awaited(key)
        has_changed = (seat.about, seat.meta) != (about, meta)
        seat.about, seat.meta, seat.session_id, seat.ws = about, meta, ws.identity.session_id, ws
        return [key] if has_changed else []

    def _forget(self, ws: Connection, room: str) -> Key | None:
        """Take the connection out of the room."""
        rooms = self._rooms.get(ws)
        key = rooms.pop(room, None) if rooms is not None else None
        if key is not None:
            if not rooms:
                del self._rooms[ws]
            audience = self._audience[room]
            del audience[ws]
            if not audience:
                del self._audience[room]
        return key

    def _await(self, seat: Seat, now: float) -> list[Key]:
        user = seat.key[1]
        told = []
        if self._awaited_of[user] >= _AWAITED_PER_USER:
            told.append(self._give_up(next(key for key in self._awaited if key[1] == user)))
        self._awaited[seat.key] = now + self._linger
        self._awaited_of[user] += 1
        return told

    def _no_longer_awaited(self, key: Key) -> None:
        if self._awaited.pop(key, None) is not None:
            self._awaited_of[key[1]] -= 1
            if not self._awaited_of[key[1]]:
                del self._awaited_of[key[1]]

    def _give_up(self, key: Key) -> Key:
        self._leaving[key] = self._seats[key]
        return self._drop(key)

    def _drop(self, key: Key) -> Key:
        self._no_longer_awaited(key)
        del self._seats[key]
        return key
