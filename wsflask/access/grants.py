"""Rights to read: what a list of grants allows, as alternative scopes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from ..errors import ConfigError
from .fields import FilterField
from .scope import EVERYTHING, Condition, Scope

if TYPE_CHECKING:
    from .predicate import Predicate

__all__ = ["ALL", "NOTHING", "Access", "check_grants", "parse_grants", "scope_of_grant"]

_log = logging.getLogger(__name__)


class Access:
    """The documents one may read: those that one of the alternative scopes matches, and the predicate allows.

    Without alternatives nothing may be read; with the scope that has no conditions among them, everything.
    Canonical: equal rights, however they were written, are mostly equal and then share their views. Those with a
    predicate are one user's alone.
    """

    __slots__ = ("__weakref__", "alternatives", "key", "predicate")

    def __init__(self, alternatives: Iterable[Scope] = (), predicate: Predicate | None = None) -> None:
        by_key = {scope.key: scope for scope in _merged(alternatives)}
        if EVERYTHING.key in by_key:
            by_key = {EVERYTHING.key: EVERYTHING}
        self.alternatives = tuple(by_key[key] for key in sorted(by_key))
        #: A text that is equal for equal rights, in every process.
        self.key = " | ".join(f"({key})" for key in sorted(by_key))
        #: What each document is asked in addition, or None.
        self.predicate = predicate if self.alternatives else None
        if self.predicate is not None:
            self.key = f"({self.key}) & {self.predicate.key}"

    def __repr__(self) -> str:
        return f"Access({list(self.alternatives)!r}{', a predicate' if self.predicate else ''})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Access) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def is_empty(self) -> bool:
        """Whether nothing may be read."""
        return not self.alternatives

    @property
    def allows_everything(self) -> bool:
        """Whether every document of the class may be read."""
        return self.alternatives == (EVERYTHING,) and self.predicate is None

    @property
    def needs_document(self) -> bool:
        """Whether only `matches` says what may be read, and that of the whole document: a query finds too many."""
        return self.predicate is not None

    def matches(self, document: Mapping[str, Any]) -> bool:
        """Return whether the raw document may be read; it has to be whole where `needs_document`. May switch there."""
        if not any(scope.matches(document) for scope in self.alternatives):
            return False
        return self.predicate is None or self.predicate.allows(document)

    def to_query(self) -> dict[str, Any]:
        """Return the MongoDB query with the same truth, or, where `needs_document`, an upper bound."""
        if self.is_empty:
            return {"_id": {"$in": []}}
        if len(self.alternatives) == 1:
            return self.alternatives[0].to_query()
        return {"$or": [scope.to_query() for scope in self.alternatives]}


def _merged(alternatives: Iterable[Scope]) -> Iterable[Scope]:
    """Join the alternatives that each ask one field for equality: a thousand granted keys are one `in`."""
    values: dict[tuple[str, str], list[Any]] = {}
    for scope in alternatives:
        condition = scope.conditions[0] if len(scope.conditions) == 1 else None
        if condition is not None and condition.equals is not None:
            found = condition.value if condition.op == "in" else (condition.value,)
            values.setdefault((condition.field, condition.name), []).extend(found)
        else:
            yield scope
    for (field, name), found in values.items():
        yield Scope([Condition(field, "in", found, name=name)])


#: No right at all.
NOTHING: Final = Access()
#: The right to read every document.
ALL: Final = Access([EVERYTHING])


def parse_grants(grants: Iterable[Any], class_name: str, key_sets: Mapping[str, Sequence[FilterField]]) -> Access:
    """Return what the grants `{"obj": …, "act": …}` allow to read of the class.

    `obj` is `*`, `Class/*` or `Class/keyset/value/…`, with a value for each field of the key set; a value that is
    `*` stands for any. Values are URL-quoted where they hold "/", "%" or are a literal "*" (`%2F`, `%25`, `%2A`).
    `act` is a comma list that has to hold `read`, or a prefix of it with a trailing star. A grant that cannot be
    understood allows nothing and is logged.
    """
    scopes: list[Scope] = []
    for grant in grants:
        try:
            scope = scope_of_grant(grant, class_name, key_sets)
        except ValueError as error:
            _log.warning("a grant for %s allows nothing: %s", class_name, error)
            continue
        if scope is not None:
            scopes.append(scope)
    return Access(scopes)


def check_grants(grants: Iterable[Any], class_name: str, key_sets: Mapping[str, Sequence[FilterField]]) -> None:
    """Raise ConfigError for the first grant that cannot be understood."""
    for grant in grants:
        try:
            scope_of_grant(grant, class_name, key_sets)
        except ValueError as error:
            raise ConfigError(f"read of {class_name} holds a grant that is wrong: {error}") from error


def scope_of_grant(grant: Any, class_name: str, key_sets: Mapping[str, Sequence[FilterField]]) -> Scope | None:
    """Return the documents that one grant lets be read, or None: it is for something else.

    Raises:
        ValueError: it cannot be understood.
    """
    if not isinstance(grant, Mapping):
        raise ValueError("a grant is {'obj': …, 'act': …}")
    obj, act = grant.get("obj"), grant.get("act")
    if not isinstance(obj, str) or not isinstance(act, str):
        raise ValueError("obj and act are strings")
    if not _grants_reading(act):
        return None
    if obj == "*":
        return EVERYTHING
    name, *path = obj.split("/")
    if unquote(name) != class_name:
        return None
    if path == ["*"]:
        return EVERYTHING
    return _keyed(path, key_sets)


def _grants_reading(act: str) -> bool:
    words = [word.strip() for word in act.split(",")]
    return any(word == "read" or (word.endswith("*") and "read".startswith(word[:-1])) for word in words)


def _keyed(path: list[str], key_sets: Mapping[str, Sequence[FilterField]]) -> Scope:
    if not path or path[0] not in key_sets:
        raise ValueError("after the class comes *, key/… or a named key set")
    fields = key_sets[path[0]]
    values = path[1:]
    if len(values) != len(fields):
        raise ValueError(f"the key set {path[0]} has {len(fields)} fields, not {len(values)}")
    conditions = []
    for field, value in zip(fields, values, strict=True):
        if value == "*":
            continue
        try:
            converted = field.from_text(unquote(value, errors="strict"))
        except (TypeError, ArithmeticError) as error:
            raise ValueError(f"{field.name} cannot be compared with the value of a grant") from error
        conditions.append(Condition(field.path, "==", converted, name=field.name))
    return Scope(conditions)
