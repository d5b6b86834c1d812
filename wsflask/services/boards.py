"""What each connected user's tabs were told of the clipboard last, and who they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..connection import Connection
from ..protocol.messages import Message
from .clipboard_entries import render

__all__ = ["Board", "Boards"]

#: Key of the messages with a clipboard: each tells the whole of it.
_WHOLE = "clipboard"


@dataclass(slots=True, eq=False)
class Board:
    """A user's clipboard, as his connections know it; small, for there is one for each user."""

    user_id: str
    #: -1: it is not known yet.
    rev: int = -1
    #: Those who were told; only they get what follows.
    greeted: tuple[Connection, ...] = ()
    #: Those who wait until it is known.
    waiting: tuple[Connection, ...] = ()
    #: Commands under way.
    commands: int = 0
    #: What was told last, as long as somebody waits or a command is under way: they may have an older state in hand.
    message: Message | None = None


class Boards:
    """Tell every tab of a user the same states in the same order: `rev` only ever grows on a connection."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._boards: dict[str, Board] = {}
        #: What most users have.
        self._empty = Message(channel, payload_json=render(None), seq=_seq(0), key=_WHOLE)
        # A state and the messages that tell of it belong together: sending never blocks.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._boards)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._boards

    def revs(self) -> dict[str, int]:
        """Return which revision the tabs of each user know."""
        return {user_id: board.rev for user_id, board in list(self._boards.items()) if board.rev >= 0}

    def join(self, ws: Connection) -> bool:
        """Keep the user's board from now on; return False for a connection that has closed meanwhile.

        To be called before the clipboard is queried: what changes during the query is not missed then.
        """
        with self._lock:
            if not ws.is_open:
                return False
            board = self._boards.get(ws.user_id)
            if board is None:
                board = self._boards[ws.user_id] = Board(ws.user_id)
            board.waiting += (ws,)
            return True

    def greet(self, ws: Connection, state: Mapping[str, Any]) -> None:
        """Send the connection the state that was queried or a newer one, and from now on what follows."""
        with self._lock:
            self.take(ws.user_id, state)
            board = self._boards.get(ws.user_id)
            if board is not None and ws in board.waiting:
                ws.send(board.message or self._message(state))
                board.waiting = _without(board.waiting, ws)
                board.greeted += (ws,)
                self._tidy(board)

    def leave(self, ws: Connection) -> None:
        """Tell the connection nothing any more; a board without connections is dropped."""
        with self._lock:
            board = self._boards.get(ws.user_id)
            if board is not None:
                board.greeted = _without(board.greeted, ws)
                board.waiting = _without(board.waiting, ws)
                self._tidy(board)
                if not board.greeted and not board.waiting:
                    del self._boards[board.user_id]

    def take(self, user_id: str, state: Mapping[str, Any], *, but: Connection | None = None) -> None:
        """Tell the user's connections of a state unless they know a newer one; `but` gets it in another way."""
        with self._lock:
            board = self._boards.get(user_id)
            if board is None or state["rev"] <= board.rev:
                return
            message = self._message(state)
            board.rev = state["rev"]
            board.message = message
            self._tidy(board)
            for ws in board.greeted:
                if ws is not but:
                    ws.send(message)

    def forget(self, user_id: str) -> None:
        """Show an empty clipboard where somebody has deleted the document."""
        with self._lock:
            board = self._boards.get(user_id)
            if board is not None and board.rev > 0:
                self.take(user_id, {"rev": board.rev + 1, "entries": []})

    @contextmanager
    def command(self, ws: Connection) -> Iterator[None]:
        """Keep what the user's tabs are told while a command of this connection is under way, for its `answer`."""
        with self._lock:
            board = self._boards.get(ws.user_id)
            if board is not None:
                board.commands += 1
        try:
            yield
        finally:
            with self._lock:
                if board is not None:
                    board.commands -= 1
                    self._tidy(board)

    def answer(self, ws: Connection, state: Mapping[str, Any]) -> None:
        """Tell of the state that a command of this connection has made; its answer carries the request's id.

        The answer is the latest state known: as new as the command's own, and not older than what the connection has
        seen. A request without an id is answered by the state that goes to all.
        """
        with self._lock:
            request_id = ws.request_id
            self.take(ws.user_id, state, but=ws if request_id is not None else None)
            board = self._boards.get(ws.user_id)
            if request_id is not None and board is not None:
                latest = board.message or self._message(state)
                ws.reply(payload_json=latest.payload_json, seq=latest.seq)

    def _message(self, state: Mapping[str, Any]) -> Message:
        if state["rev"] == 0 and not state.get("entries"):
            return self._empty
        return Message(self._channel, payload_json=render(state), seq=_seq(state["rev"]), key=_WHOLE)

    @staticmethod
    def _tidy(board: Board) -> None:
        if not board.waiting and not board.commands:
            board.message = None


def _seq(rev: int) -> str:
    return f"{rev:020d}"


def _without(connections: tuple[Connection, ...], ws: Connection) -> tuple[Connection, ...]:
    return tuple(other for other in connections if other is not ws)
