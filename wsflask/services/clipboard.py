"""The service on the channel `clipboard`: the same entries in every tab and on every device of a user."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pymongo

from ..config import Settings
from ..connection import Connection
from ..deadline import SHARE, seconds_left
from ..documents import ClipboardState
from ..documents.fields import utc_now
from ..errors import Refusal
from ..feed.base import Change, Gap, Subscription
from ..gather import Gather
from ..hub import turn_away
from ..ledger import command_id
from ..outage import is_outage, log_failure
from ..service import Host, Service
from .boards import Boards
from .clipboard_entries import Edit, Limits, Raw, add, data_entry, flush, parse, remove, render
from .clipboard_store import ClipboardStore
from .references import find_references, parse_load, refs_in, refs_of_document, stale_refs

__all__ = ["Clipboard"]

_log = logging.getLogger(__name__)

#: Deleted documents that are looked up in the clipboards by one update.
_BATCH = 1000
#: Clipboards that are loaded, or compared after a gap, by one pair of queries: each may hold a megabyte.
_CHUNK = 100


class Clipboard(Service):
    """Keep a list of entries for each user: raw data, and references to documents.

    The methods `clipboard_*` may be called by the application too; `user` is a Flask-Login user or his id.
    """

    channel = "clipboard"
    keeps_publications = False

    def __init__(self, server: Host | None = None) -> None:
        super().__init__(server)
        self._store = ClipboardStore()
        self._boards = Boards(self.channel)
        #: Those who come at once share the queries.
        self._arrivals: Gather[Connection] = Gather("wsflask clipboards", self._greet, turn_away, limit=_CHUNK)
        self._lock = threading.Lock()
        self._changes: Subscription | None = None
        actions = {"add": self._add, "load": self._load, "remove": self._remove, "flush": self._flush}
        self._actions: dict[str, Callable[[Any, Any, str | None], Raw]] = {
            **actions,
            **{f"clipboard_{name}": action for name, action in actions.items()},
        }

    # --- for the application

    def clipboard_add(self, user: Any, data: Any) -> list[dict[str, Any]]:
        """Add an entry with raw data, anything that JSON can hold; return the new clipboard. May switch.

        Raises:
            Refusal: bad_data or too_big.
        """
        return self._done(self._add(user, data, None))

    def clipboard_load(self, user: Any, data: Any) -> list[dict[str, Any]]:
        """Add references to documents, `{"model": name, "ids": [...]}`; return the new clipboard. May switch.

        Raises:
            Refusal: bad_data, too_big, or not_found: the class is not exposed, or one of the documents does not exist
                or may not be read by the user. Then none is added.
        """
        return self._done(self._load(user, data, None))

    def clipboard_remove(self, user: Any, data: Any) -> list[dict[str, Any]]:
        """Remove the entry with the integer id `data`; return the new clipboard. May switch.

        Raises:
            Refusal: bad_data or not_found.
        """
        return self._done(self._remove(user, data, None))

    def clipboard_flush(self, user: Any, data: Any = None) -> list[dict[str, Any]]:
        """Remove every entry; `data` is ignored. Return the new clipboard, an empty list. May switch."""
        return self._done(self._flush(user, data, None))

    # --- hooks

    def on_connect(self, ws: Connection, user: Any) -> None:
        """Send the user's whole clipboard; those who come at once share the queries."""
        self._subscribe()
        if self._boards.join(ws):
            ws.hold()
            self._arrivals.add(ws)

    def _greet(self, arrivals: list[Connection]) -> None:
        """Send each its clipboard: one query for all, and one for each class that they refer to. May switch."""
        try:
            with self._timeout():
                states = self._checked(self._store.load_all(list({ws.user_id for ws in arrivals})))
            for ws in arrivals:
                self._boards.greet(ws, states[ws.user_id])
        except Exception as error:
            if len(arrivals) > 1 and not is_outage(error):
                for ws in arrivals:  # Something is wrong with one of them.
                    self._greet([ws])
                return
            is_away = log_failure(_log, error, "clipboards could not be loaded")
            turn_away([*arrivals, *(self._arrivals.withdraw() if is_away else ())])
        for ws in arrivals:
            ws.release()

    def on_disconnect(self, ws: Connection, user: Any) -> None:
        self._boards.leave(ws)

    def on_message(self, ws: Connection, user: Any, message: Any) -> None:
        """Handle a command; the answer is the new clipboard, and every tab of the user gets it too."""
        if not isinstance(message, dict):
            raise Refusal("bad_data")
        name = message.get("action")
        action = self._actions.get(name) if isinstance(name, str) else None
        if action is None:
            raise Refusal("bad_action")
        command = command_id(message)
        if "data" not in message and action != self._flush:
            raise Refusal("bad_data")
        with self._boards.command(ws):
            self._boards.answer(ws, action(user, message.get("data"), command))

    def run(self) -> None:
        """Relay changes of clipboards, and notice when documents that they refer to are deleted."""
        changes = self._subscribe()
        gone: set[str] = set()
        try:
            self._reload()
            for change in changes:
                if isinstance(change, Gap):
                    self._reload()
                elif change.collection == ClipboardState._get_collection_name():
                    self._relay(change)
                elif change.op == "D":
                    gone.update(refs_of_document(change.collection, change.id, self.server.exposures))
                if gone and (len(gone) >= _BATCH or not changes.statistics()["waiting"]):
                    self._flag(gone, set())
                    gone.clear()
        finally:
            changes.close()

    # --- commands

    def _add(self, user: Any, data: Any, command: str | None) -> Raw:
        entry = data_entry(data, utc_now())
        return self._command(user, command, lambda state: add(state, [entry], self._limits))

    def _load(self, user: Any, data: Any, command: str | None) -> Raw:
        exposure, access, seen, keys = parse_load(user, data, self.server.exposures, self._settings.load_max_ids)
        if len(keys) > self._limits.entries:
            raise Refusal("too_big")
        found: list[Raw] = []

        def make(state: Raw) -> Edit:
            if keys and not found:
                found.extend(find_references(exposure, access, seen, keys))
            return add(state, found, self._limits)

        state = self._command(user, command, make)
        with self._timeout():  # one may have been deleted before the entry was there to be flagged
            return self._checked({state["_id"]: state})[state["_id"]]

    def _remove(self, user: Any, data: Any, command: str | None) -> Raw:
        if type(data) is not int:
            raise Refusal("bad_data")
        return self._command(user, command, lambda state: remove(state, data))

    def _flush(self, user: Any, data: Any, command: str | None) -> Raw:
        return self._command(user, command, flush)

    def _command(self, user: Any, command: str | None, make: Callable[[Raw], Edit]) -> Raw:
        with self._timeout():
            return self._store.command(_id_of(user), command, make, patience=(1 - SHARE) * self._patience)

    def _done(self, state: Raw) -> list[dict[str, Any]]:
        self._boards.take(state["_id"], state)
        return parse(render(state))

    # --- what changed elsewhere

    def _relay(self, change: Change) -> None:
        if change.id not in self._boards:
            return
        if change.op == "D" or change.document is None:
            self._boards.forget(change.id)
        else:
            self._boards.take(change.id, change.document)

    def _reload(self) -> None:
        """Compare what the connections know with the database, and with the documents referred to."""
        revs = self._boards.revs()
        users = iter(revs)
        while chunk := list(itertools.islice(users, _CHUNK)):
            with self._timeout():
                gone, back = stale_refs(self._store.referring(chunk), self.server.exposures)
                self._store.flag(gone, missing=True)
                self._store.flag(back, missing=False)
                states = self._store.load_many({user_id: revs[user_id] for user_id in chunk})
            for user_id, state in states.items():
                self._compare(user_id, state, revs[user_id])

    def _compare(self, user_id: str, state: Raw, known: int) -> None:
        if state["rev"] == 0:
            self._boards.forget(user_id)
        elif state["rev"] > known:
            self._boards.take(user_id, state)
        else:  # restored from a backup: lift it above what the tabs have seen
            self._boards.take(user_id, self._command(user_id, None, lambda _: Edit()))

    def _checked(self, states: dict[str, Raw]) -> dict[str, Raw]:
        """Return the states with their references compared with the documents, by one query for each class."""
        gone, back = stale_refs(states.values(), self.server.exposures)
        if not self._flag(gone, back):
            return states
        flagged = gone | back
        stale = [user_id for user_id, state in states.items() if refs_in(state) & flagged]
        return {**states, **self._store.load_all(stale)}

    def _flag(self, gone: set[str], back: set[str]) -> bool:
        with self._timeout():
            is_changed = bool(gone) and self._store.flag(gone, missing=True)
            is_changed = (bool(back) and self._store.flag(back, missing=False)) or is_changed
        if is_changed and not self.server.feed.sees_every_write:
            self._reload()
        return is_changed

    def _subscribe(self) -> Subscription:
        """Return the subscription; there is one before the first clipboard is queried."""
        with self._lock:
            if self._changes is None or self._changes.is_closed:
                classes = [exposure.document_class for exposure in self.server.exposures]
                self._changes = self.server.feed.watch(ClipboardState, *classes, name="clipboard")
            return self._changes

    @property
    def _settings(self) -> Settings:
        return self._server.settings if self._server is not None else Settings()

    @property
    def _limits(self) -> Limits:
        return Limits(self._settings.clipboard_max_entries, self._settings.clipboard_max_bytes)

    def _timeout(self) -> Any:
        return pymongo.timeout(self._patience)

    @property
    def _patience(self) -> float:
        return seconds_left(self._settings.database_timeout)


def _id_of(user: Any) -> str:
    return user if isinstance(user, str) else str(user.get_id())
