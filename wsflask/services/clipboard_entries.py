"""What a clipboard holds, and what each command makes of it; no I/O."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..documents import KEPT_COMMANDS
from ..encoding import dumps, iso
from ..errors import Refusal

__all__ = [
    "Edit",
    "Limits",
    "add",
    "data_entry",
    "flush",
    "ref_of",
    "reference_entry",
    "remove",
    "render",
]

#: Characters of an entry's label.
_LABEL = 80

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one clipboard holds."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Edit:
    """What a command does to the entries."""

    added: tuple[Raw, ...] = ()
    #: Ids of the entries to be removed.
    removed: frozenset[int] = frozenset()

    def apply(self, state: Raw, command: str | None) -> Raw:
        """Return the state after it: entries and their size, the next id, the command ids."""
        kept = [entry for entry in state["entries"] if entry["id"] not in self.removed]
        entries = [*kept, *self.added]
        commands = [*state["commands"], command] if command is not None else state["commands"]
        return {
            **state,
            "next_id": state["next_id"] + len(self.added),
            "entries": entries,
            "size": sum(entry["size"] for entry in entries),
            "commands": commands[-KEPT_COMMANDS:],
        }


def ref_of(model: str, key: Any) -> str:
    """Return the text that names one document, whatever the type of its key."""
    return f"{model}/{dumps(key).decode()}"


def data_entry(data: Any, now: datetime.datetime) -> Raw:
    """Return an entry, still without id, that holds any JSON value.

    Raises:
        Refusal: bad_data, it is none.
    """
    try:
        text = dumps(data).decode()
    except (UnicodeError, RecursionError, TypeError, ValueError):
        raise Refusal("bad_data") from None
    return {"kind": "data", "label": _short(data if isinstance(data, str) else text), "json": text, "created_dt": now}


def reference_entry(model: str, key: Any, label: str, now: datetime.datetime) -> Raw:
    """Return an entry, still without id, that refers to a document."""
    return {
        "kind": "reference",
        "label": _short(label),
        "model": model,
        "object_id": key,
        "ref": ref_of(model, key),
        "missing": False,
        "created_dt": now,
    }


def add(state: Raw, entries: Iterable[Raw], limits: Limits) -> Edit:
    """Return the edit that adds the entries; a document that is referred to already is not added again.

    Raises:
        Refusal: too_big, and then nothing is added.
    """
    known = {entry.get("ref") for entry in state["entries"]} - {None}
    added: list[Raw] = []
    for entry in entries:
        if entry.get("ref") not in known:
            numbered = {"id": state["next_id"] + len(added), **entry}
            added.append({**numbered, "size": len(_entry_json(numbered))})
    count = len(state["entries"]) + len(added)
    if count > limits.entries or state["size"] + sum(entry["size"] for entry in added) > limits.bytes:
        raise Refusal("too_big")
    return Edit(added=tuple(added))


def remove(state: Raw, identity: int) -> Edit:
    """Return the edit that removes one entry.

    Raises:
        Refusal: not_found.
    """
    if all(entry["id"] != identity for entry in state["entries"]):
        raise Refusal("not_found")
    return Edit(removed=frozenset({identity}))


def flush(state: Raw) -> Edit:
    """Return the edit that removes every entry."""
    return Edit(removed=frozenset(entry["id"] for entry in state["entries"]))


def render(state: Mapping[str, Any] | None) -> bytes:
    """Return the clipboard as clients get it: JSON of the list of entries."""
    entries = state.get("entries") or () if state else ()
    return b"[%b]" % b",".join(map(_entry_json, entries))


def _entry_json(entry: Mapping[str, Any]) -> bytes:
    start = {"id": entry["id"], "kind": entry["kind"], "label": entry["label"]}
    created = iso(entry["created_dt"])
    if entry["kind"] == "data":
        return b'%b,"data":%b,"created_dt":%b}' % (dumps(start)[:-1], entry["json"].encode(), dumps(created))
    places = {name: entry[name] for name in ("model", "object_id", "missing")}
    return dumps({**start, **places, "created_dt": created})


def _short(text: str) -> str:
    words = " ".join(text[: 4 * _LABEL].split())
    return words if len(words) <= _LABEL and len(text) <= 4 * _LABEL else words[: _LABEL - 1] + "…"


def parse(payload: bytes) -> list[dict[str, Any]]:
    """Return a rendered clipboard as Python values."""
    entries: list[dict[str, Any]] = json.loads(payload)
    return entries
