"""The documents that clipboards refer to: which a user may load, and which are gone."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pymongo import ReadPreference

from ..documents.fields import utc_now
from ..errors import Refusal
from .clipboard_entries import Raw, ref_of, reference_entry

if TYPE_CHECKING:
    from ..access.exposure import Exposure, Exposures
    from ..access.grants import Access

__all__ = ["find_references", "parse_load", "refs_in", "refs_of_document", "stale_refs"]

_log = logging.getLogger(__name__)

_SIMPLE = {"locale": "simple"}


def parse_load(
    user: Any, data: Any, exposures: Exposures, max_ids: int
) -> tuple[Exposure, Access, frozenset[str], list[Any]]:
    """Return the exposed class, what the user may read and which fields he sees, and the keys to load, each once.

    Raises:
        Refusal: bad_data, too_big, or not_found for a class that is not exposed, or of which the user may read
            nothing.
    """
    if not isinstance(data, dict) or not isinstance(data.get("model"), str) or not isinstance(data.get("ids"), list):
        raise Refusal("bad_data")
    if len(data["ids"]) > max_ids:
        raise Refusal("too_big")
    exposure = exposures.get(data["model"])
    access = exposure.access_for(user) if exposure is not None else None
    if exposure is None or access is None or access.is_empty:
        raise Refusal("not_found")  # before anything is said of the ids: who may read none of them learns nothing
    convert = exposure.names.filter_field("_id").convert
    try:
        keys = {ref_of("", identity): convert(identity) for identity in data["ids"]}
    except (TypeError, ValueError, ArithmeticError):
        raise Refusal("bad_data") from None
    return exposure, access, exposure.fields_for(user), list(keys.values())


def find_references(exposure: Exposure, access: Access, seen: frozenset[str], keys: list[Any]) -> list[Raw]:
    """Return a new entry for each document, in the order of the keys, with a label for who sees these fields.

    One query; may switch.

    Raises:
        Refusal: not_found, because one does not exist or may not be read with this access.
    """
    query = {"$and": [{"_id": {"$in": keys}}, exposure.readable_query(access)]}
    # The right is judged on the very document, byte for byte: a collection's own collation may not widen it.
    collection = _collection(exposure).with_options(read_preference=ReadPreference.PRIMARY)
    documents = collection.find(query, collation=_SIMPLE)
    found = {ref_of(exposure.name, raw["_id"]): raw for raw in documents if exposure.may_read(access, raw)}
    refs = [ref_of(exposure.name, key) for key in keys]
    if any(ref not in found for ref in refs):
        raise Refusal("not_found")
    now = utc_now()
    return [
        reference_entry(exposure.name, found[ref]["_id"], _label(exposure, found[ref], seen), now) for ref in refs
    ]


def stale_refs(states: Iterable[Mapping[str, Any]], exposures: Exposures) -> tuple[set[str], set[str]]:
    """Return the references to documents that are gone, and those to documents that are back.

    One query for each class that is referred to; may switch. A class that is exposed no longer is left alone.
    """
    keys: dict[str, dict[str, Any]] = defaultdict(dict)
    flags: dict[str, set[bool]] = defaultdict(set)
    for state in states:
        for entry in state.get("entries") or ():
            if entry.get("ref"):
                keys[entry["model"]][entry["ref"]] = entry["object_id"]
                flags[entry["ref"]].add(bool(entry.get("missing")))
    gone: set[str] = set()
    back: set[str] = set()
    for model, by_ref in keys.items():
        exposure = exposures.get(model)
        if exposure is not None:
            found = _collection(exposure).find({"_id": {"$in": list(by_ref.values())}}, {"_id": 1})
            existing = {ref_of(model, raw["_id"]) for raw in found}
            gone |= {ref for ref in by_ref if ref not in existing and False in flags[ref]}
            back |= {ref for ref in by_ref if ref in existing and True in flags[ref]}
    return gone, back


def refs_in(state: Mapping[str, Any]) -> set[str]:
    """Return the references that a clipboard holds."""
    return {entry["ref"] for entry in state.get("entries") or () if entry.get("ref")}


def refs_of_document(collection: str, key: Any, exposures: Exposures) -> list[str]:
    """Return the references that the document with this key may have, one for each class of its collection."""
    return [ref_of(exposure.name, key) for exposure in exposures if exposure.collection == collection]


def _collection(exposure: Exposure) -> Any:
    return exposure.document_class._get_collection()


def _label(exposure: Exposure, raw: Raw, seen: frozenset[str]) -> str:
    try:
        return exposure.label_of(exposure.document_class._from_son(raw), seen)
    except Exception:
        _log.exception("the label of a %s failed", exposure.name)
        return exposure.name
