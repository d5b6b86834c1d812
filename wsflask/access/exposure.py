"""What of a document class leaves the server: nothing but what is listed here, to those who may read it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from .fields import FilterField
from .grants import ALL, NOTHING, Access, check_grants, parse_grants
from .names import KEY, FieldNames, Reachable, checked_class
from .order import Order, parse_order
from .scope import EVERYTHING, Condition, Scope, parse_scope

__all__ = ["Exposure", "Exposures"]

_log = logging.getLogger(__name__)

#: A list of grants, or a function of the user that says what he may read.
Acl = Callable[[Any], Any] | Sequence[Any] | Mapping[str, Any] | None


class Exposure:
    """A document class with the fields, rights and names under which clients see it.

    Args:
        document_class: a MongoEngine document with a collection.
        fields: names (of the attributes) that everybody sees who may read the document.
        hidden: names that only those see whom `show_hidden` allows it.
        acl: who may read which documents. A list of grants counts for every logged-in user; a function gets the
            user and returns True, False or None, a list of grants, a scope (`[{"fn", "op", "val"}, …]`) or a list
            of alternative scopes. Without one nobody reads anything; a function that raises denies.
        show_hidden: function of the user; only True shows him the hidden fields, when he asks for them.
        label: what a document is called in a clipboard: a listed field, or a function of the document.
        key_sets: name to the fields that a grant `Class/name/value/…` gives values for.
        name: the class's name on the wire; its own by default.
    """

    def __init__(
        self,
        document_class: Any,
        *,
        fields: Iterable[str],
        hidden: Iterable[str] = (),
        acl: Acl = None,
        show_hidden: Callable[[Any], bool] | None = None,
        label: str | Callable[[Any], str] | None = None,
        key_sets: Mapping[str, Sequence[str]] | None = None,
        name: str | None = None,
    ) -> None:
        self.document_class = checked_class(document_class)
        self.name: str = name if name is not None else document_class.__name__
        self.names = FieldNames(document_class)
        self.fields = self.names.checked("fields", fields)
        self.hidden = self.names.checked("hidden", hidden)
        if not self.fields and not self.hidden:
            raise ConfigError(f"expose({self.name}) lists no field; write fields=('name', …)")
        for twice in sorted(set(self.fields) & set(self.hidden)):
            raise ConfigError(f"expose({self.name}): {twice!r} is in fields and in hidden; take it out of one")
        self._key_sets = self._checked_key_sets(key_sets or {})
        self._show_hidden = self._checked_function("show_hidden", show_hidden)
        self._acl = self._checked_acl(acl)
        self._label = self._checked_label(label)

    def __repr__(self) -> str:
        return f"<Exposure of {self.name}>"

    @property
    def collection(self) -> str:
        """The name of the collection the documents are in."""
        return str(self.document_class._get_collection_name())

    @property
    def type_scope(self) -> Scope:
        """The condition that tells this class and its subclasses from others in the same collection."""
        if self.document_class._meta.get("allow_inheritance") is not True:
            return EVERYTHING
        return Scope([Condition("_cls", "in", self.document_class._subclasses)])

    # --- rights

    def access_for(self, user: Any) -> Access:
        """Return which documents the user may read; an acl that raises denies, and is logged."""
        return self.access_by(self._acl, user)

    def access_by(self, acl: Acl, user: Any) -> Access:
        """Return which documents this acl, in place of the exposure's own, lets the user read."""
        if user is None or getattr(user, "is_authenticated", True) is not True:
            return NOTHING
        try:
            return self.access_from(acl(user) if callable(acl) else acl)
        except Exception:
            _log.exception("the acl of %s failed and denies", self.name)
            return NOTHING

    def may_see_hidden(self, user: Any) -> bool:
        """Return whether the user may see the hidden fields; a `show_hidden` that raises denies, and is logged."""
        if self._show_hidden is None or user is None:
            return False
        try:
            return self._show_hidden(user) is True
        except Exception:
            _log.exception("show_hidden of %s failed and denies", self.name)
            return False

    def fields_for(self, user: Any, show_hidden: bool = False) -> frozenset[str]:
        """Return the names the user sees; the hidden ones only where he asks for them and may see them."""
        return self.visible(show_hidden=show_hidden and self.may_see_hidden(user))

    def visible(self, *, show_hidden: bool) -> frozenset[str]:
        """Return the listed names, with or without the hidden ones."""
        return frozenset(self.fields + self.hidden if show_hidden else self.fields)

    def parse_scope(
        self, data: Any, names: Iterable[str], *, max_conditions: int = 20, max_values: int = 1000
    ) -> Scope:
        """Return the scope a client asks for; it may name these fields, what is in them, and the primary key.

        Raises:
            Refusal: bad_data, forbidden, too_big or too_deep, as `scope.parse_scope`.
        """
        fields = Reachable(self.names, names)
        return parse_scope(data, fields, max_conditions=max_conditions, max_values=max_values)

    def parse_order(self, data: Any, names: Iterable[str]) -> Order:
        """Return the order a client asks for; it may name what a scope may name.

        Raises:
            Refusal: bad_data, forbidden, too_big or too_deep, as `order.parse_order`.
        """
        return parse_order(data, Reachable(self.names, names))

    def readable_query(self, access: Access) -> dict[str, Any]:
        """Return the MongoDB query for the documents of this class that the access allows."""
        parts = [part for part in (self.type_scope.to_query(), access.to_query()) if part]
        return {"$and": parts} if parts else {}

    def may_read(self, access: Access, document: Mapping[str, Any]) -> bool:
        """Return whether the raw document is one of this class that the access allows."""
        return self.type_scope.matches(document) and access.matches(document)

    def label_of(self, document: Any) -> str:
        """Return what the MongoEngine document is called."""
        if callable(self._label):
            return str(self._label(document))
        if self._label is not None:
            return str(getattr(document, self._label, ""))
        return f"{self.name} {document.pk}"

    def access_from(self, given: Any) -> Access:
        """Return the right that an acl gives: True, False or None, grants, a scope, alternative scopes.

        Raises:
            Exception: it is none of these.
        """
        if given is True:
            return ALL
        if given is None or given is False:
            return NOTHING
        if isinstance(given, Access):
            return given
        if isinstance(given, Scope):
            return Access([given])
        if isinstance(given, Mapping) and "content" in given:
            given = given["content"]
        if not isinstance(given, list | tuple):
            raise TypeError(f"an acl gives True, False, grants or scopes, not {type(given).__name__}")
        if not given:
            return NOTHING
        if isinstance(given[0], Mapping) and "fn" not in given[0]:
            return parse_grants(given, self.name, self._key_sets)
        if isinstance(given[0], Mapping):
            return Access([self._own_scope(given)])
        return Access(item if isinstance(item, Scope) else self._own_scope(item) for item in given)

    def _own_scope(self, conditions: Any) -> Scope:
        if not conditions:
            raise ValueError("a scope of an acl has conditions; return True to allow everything")
        asked = [item.get("fn") for item in conditions]
        allowed = {name: self.names.filter_field(name) for name in asked if name in self.names or name == KEY}
        return parse_scope(conditions, allowed, max_conditions=1000, max_values=100_000)

    # --- misuse, found early

    def _checked_key_sets(self, key_sets: Mapping[str, Sequence[str]]) -> dict[str, tuple[FilterField, ...]]:
        checked: dict[str, tuple[FilterField, ...]] = {"key": (self.names.filter_field(KEY),)}
        for name, names in key_sets.items():
            if name in ("key", "*") or "/" in name:
                raise ConfigError(f"expose({self.name}): a key set cannot be called {name!r}")
            if not self.names.checked(f"key_sets[{name!r}]", names):
                raise ConfigError(f"expose({self.name}): the key set {name!r} has no fields")
            checked[name] = tuple(self.names.filter_field(field) for field in names)
        return checked

    def _checked_function(self, option: str, function: Any) -> Any:
        if function is not None and not callable(function):
            raise ConfigError(f"expose({self.name}): {option} is a function of the user, or left out")
        return function

    def _checked_acl(self, acl: Any) -> Acl:
        if acl is None or callable(acl):
            return acl  # type: ignore[no-any-return]
        if isinstance(acl, Mapping) and "content" in acl:
            acl = acl["content"]
        if not isinstance(acl, list | tuple):
            raise ConfigError(f"expose({self.name}): acl is a list of grants or a function of the user")
        check_grants(acl, self.name, self._key_sets)
        return tuple(acl)

    def _checked_label(self, label: Any) -> Any:
        if label is None or callable(label):
            return label
        if label not in self.fields and label != self.names.key_attribute:
            raise ConfigError(f"expose({self.name}): label is a function of the document, or one of its fields")
        return label


class Exposures:
    """The classes that are exposed, one by one."""

    def __init__(self) -> None:
        self._by_name: dict[str, Exposure] = {}

    def __iter__(self) -> Iterator[Exposure]:
        return iter(tuple(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def expose(self, document_class: Any, **options: Any) -> Exposure:
        """Expose a class; the options are those of `Exposure`.

        Raises:
            ConfigError: a field the class does not declare, a name that is taken, an acl that cannot be understood.
        """
        exposure = Exposure(document_class, **options)
        for other in self:
            if other.name == exposure.name:
                raise ConfigError(f"{exposure.name} is exposed already; give one of the two another name=…")
            if other.collection == exposure.collection and _alias(other) != _alias(exposure):
                raise ConfigError(
                    f"{exposure.name} and {other.name} are in collections of the same name in two databases; "
                    "rename one collection"
                )
        self._by_name[exposure.name] = exposure
        return exposure

    def get(self, name: object) -> Exposure | None:
        """Return the class exposed under that name on the wire, or None."""
        return self._by_name.get(name) if isinstance(name, str) else None

    def for_class(self, document_class: Any) -> Exposure | None:
        """Return the exposure of exactly this class, or None."""
        return next((exposure for exposure in self if exposure.document_class is document_class), None)


def _alias(exposure: Exposure) -> str:
    return str(exposure.document_class._meta.get("db_alias", "default"))
