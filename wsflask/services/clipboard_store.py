"""Clipboards in the database: one atomic step for each command, and what becomes of references."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pymongo import ReadPreference, WriteConcern
from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from ..deadline import TimeIsUp
from ..documents import KEPT_COMMANDS, ClipboardState
from ..documents.transactions import is_in_transaction
from ..errors import ConfigError, Refusal
from .clipboard_entries import Edit, Raw

__all__ = ["ClipboardStore"]

#: Attempts of one command against those of other workers; each takes a few milliseconds.
_ATTEMPTS = 50
#: Longest wait between two attempts, in seconds.
_PAUSE = 0.02
#: Locks that the users share: commands of one user queue up in this process instead of disturbing each other.
_LOCKS = 64
#: Commands at the same time: more would not be quicker, and leave others no connection of MongoEngine's pool (of 100).
_AT_ONCE = 32
#: Seconds to wait for these.
_PATIENCE = 5.0


class ClipboardStore:
    """The clipboards of all users."""

    def __init__(self) -> None:
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))
        self._room = threading.BoundedSemaphore(_AT_ONCE)

    def load(self, user_id: str) -> Raw:
        """Return the user's state, an empty one if there is none. May switch."""
        return _whole(user_id, self._clipboards.find_one({"_id": user_id}))

    def load_all(self, user_ids: Iterable[str]) -> dict[str, Raw]:
        """Return the states of these users. One query; may switch."""
        states = {user_id: _whole(user_id, None) for user_id in user_ids}
        for found in self._clipboards.find({"_id": {"$in": list(states)}}):
            states[found["_id"]] = _whole(found["_id"], found)
        return states

    def load_many(self, revs: dict[str, int]) -> dict[str, Raw]:
        """Return the states of those users whose revision is not this one any more. Two queries; may switch."""
        query = {"_id": {"$in": list(revs)}}
        found = {state["_id"]: state["rev"] for state in self._clipboards.find(query, {"rev": 1})}
        changed = [user_id for user_id, rev in revs.items() if found.get(user_id, 0) != rev]
        return self.load_all(changed) if changed else {}

    def command(
        self, user_id: str, command: str | None, make: Callable[[Raw], Edit], *, patience: float = _PATIENCE
    ) -> Raw:
        """Apply what `make` makes of the state, as one atomic step, and return the new state. May switch.

        Every command makes `rev` larger, also one that changes nothing and one that is repeated: the other tabs learn
        of it, and a majority of the replica set has all that came before it.

        Args:
            command: id of the command; one that was applied already is not applied again.
            make: called with the present state, again after another worker was faster; raises a Refusal to stop.
            patience: seconds to wait for other commands of this process.

        Raises:
            Refusal: conflict, after very many attempts; unavailable, others take too long.
            ConfigError: there is a transaction; a clipboard is told to its tabs before that is committed.
        """
        if is_in_transaction():
            raise ConfigError("a clipboard cannot be changed in a transaction, or within Service.once: change it after")
        with self._alone(user_id, patience):
            for attempt in range(_ATTEMPTS):
                state = self.load(user_id)
                is_repeated = command is not None and command in state["commands"]
                edit = Edit() if is_repeated else make(state)
                after = self._save(state, edit, None if is_repeated else command)
                if after is not None:
                    return after
                time.sleep(random.uniform(0, min(_PAUSE, 0.001 * (attempt + 1))))
        raise Refusal("conflict")

    @contextmanager
    def _alone(self, user_id: str, patience: float) -> Iterator[None]:
        """Wait for other commands of the user, and where there are very many for those of others."""
        deadline = time.monotonic() + patience
        with contextlib.ExitStack() as stack:
            for wanted in (self._locks[hash(user_id) % _LOCKS], self._room):
                if not wanted.acquire(timeout=max(deadline - time.monotonic(), 0)):
                    raise TimeIsUp("other commands take too long")
                stack.callback(wanted.release)
            yield

    def _save(self, state: Raw, edit: Edit, command: str | None) -> Raw | None:
        """Return the state after the edit; None when another was faster."""
        is_new = state["rev"] == 0
        after = edit.apply(state, command)
        # Never a revision that tabs have seen, not even after the document was deleted, rolled back or restored.
        after["rev"] = max(state["rev"] + 1, int(time.time() * 1000))
        change: Raw = {"$set": {"rev": after["rev"], "next_id": after["next_id"], "size": after["size"]}}
        if edit.added:
            change["$push"] = {"entries": {"$each": list(edit.added)}}
        elif edit.removed:
            change["$pull"] = {"entries": {"id": {"$in": list(edit.removed)}}}
        if command is not None:
            change.setdefault("$push", {})["commands"] = {"$each": [command], "$slice": -KEPT_COMMANDS}
        try:
            done = self._clipboards.update_one({"_id": state["_id"], "rev": state["rev"]}, change, upsert=is_new)
        except DuplicateKeyError:
            return None
        return after if done.matched_count or done.upserted_id is not None else None

    def flag(self, refs: Iterable[str], *, missing: bool) -> bool:
        """Flag every reference to these documents, of all users; return whether one changed. May switch."""
        wanted = {"ref": {"$in": list(refs)}, "missing": not missing}
        done = self._clipboards.update_many(
            {"entries.ref": wanted["ref"], "entries": {"$elemMatch": wanted}},
            {"$set": {"entries.$[each].missing": missing}, "$inc": {"rev": 1}},
            array_filters=[{f"each.{name}": value for name, value in wanted.items()}],
        )
        return done.modified_count > 0

    def referring(self, user_ids: Iterable[str]) -> list[Raw]:
        """Return the states of those users that hold references, with nothing but these. May switch."""
        query = {"_id": {"$in": list(user_ids)}, "entries.ref": {"$exists": True}}
        fields = {f"entries.{name}": 1 for name in ("model", "object_id", "ref", "missing")}
        return list(self._clipboards.find(query, fields))

    @property
    def _clipboards(self) -> Collection[Raw]:
        collection: Collection[Raw] = ClipboardState._get_collection()
        return collection.with_options(read_preference=ReadPreference.PRIMARY, write_concern=WriteConcern("majority"))


def _whole(user_id: str, found: Raw | None) -> Raw:
    return {"_id": user_id, "rev": 0, "next_id": 1, "entries": [], "size": 0, "commands": [], **(found or {})}
