"""What of a document class leaves the server: nothing but what is listed here, to those who may read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import ConfigError
from .fields import FilterField
from .grants import NOTHING, Access
from .names import KEY, FieldNames, Reachable, checked_class
from .options import Complaints
from .order import Order, parse_order
from .readers import Judgement, Read, access_from, checked_read, form_of, judge
from .scope import EVERYTHING, Condition, Scope, parse_scope
from .shown import Fields, Groups, Shown

__all__ = ["Exposure", "Exposures"]


class Exposure:
    """A document class with the fields, rights and names under which clients see it.

    Args:
        document_class: a MongoEngine document with a collection.
        fields: names (of the attributes) that everybody sees who may read the document; or a function of the user
            that returns them; or a mapping of roles to them, where a user's roles are his groups and "*".
        hidden: names that only those see whom `show_hidden` allows it.
        read: who may read which documents. A list of grants counts for every logged-in user; a function gets the
            user and returns True, False or None, a list of grants, a scope (`{"field": value, …}` or
            `[{"fn", "op", "val"}, …]`) or a list of alternative scopes; a function with two parameters gets the user
            and a document, and returns whether he may read it. Without one nobody reads anything; a function that
            raises denies.
        acl: the older name of `read`.
        show_hidden: function of the user; only True shows him the hidden fields, when he asks for them.
        label: what a document is called in a clipboard: a listed field, or a function of the document.
        key_sets: name to the fields that a grant `Class/name/value/…` gives values for.
        name: the class's name on the wire; its own by default.
        groups: function of a user that returns the names of his groups.
    """

    def __init__(
        self,
        document_class: Any,
        *,
        fields: Fields,
        hidden: Iterable[str] = (),
        read: Read = None,
        acl: Read = None,
        show_hidden: Callable[[Any], bool] | None = None,
        label: str | Callable[[Any], str] | None = None,
        key_sets: Mapping[str, Sequence[str]] | None = None,
        name: str | None = None,
        groups: Groups = lambda user: (),
    ) -> None:
        self.document_class = checked_class(document_class)
        self.name: str = name if name is not None else document_class.__name__
        self.names = FieldNames(document_class)
        #: Where faults of the application's functions are told.
        self.complaints = Complaints()
        self.shown = Shown(self.name, self.names, fields, groups, self.complaints)
        self.hidden = self.names.checked("hidden", hidden)
        #: Every name that somebody may see without being shown the hidden ones, in the order of rows.
        self.fields = self._checked_fields()
        #: Name to the fields that a grant gives values for.
        self.key_sets = self._checked_key_sets(key_sets or {})
        self._show_hidden = self._checked_function("show_hidden", show_hidden)
        if read is not None and acl is not None:
            raise ConfigError(f"expose({self.name}) has both read and acl, which is its older name; keep read")
        #: The option; what it is, is in `read_form`.
        self.read = checked_read(self, read if read is not None else acl)
        self.read_form = form_of(self.read, self.name)
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
        """Return which documents the user may read; a `read` that raises denies, and is logged. May switch."""
        return self._logged(self.judge(user)).access

    def access_by(self, read: Read, user: Any) -> Access:
        """Return which documents this `read`, in place of the exposure's own, lets the user read. May switch."""
        try:
            return self._logged(judge(self, read, form_of(read, self.name), user)).access
        except ConfigError as error:
            return self._logged(Judgement(NOTHING, read, error)).access

    def access_from(self, given: Any) -> Access:
        """Return the right that a `read` gives: True, False or None, grants, a scope, alternative scopes.

        Raises:
            Exception: it is none of these.
        """
        return access_from(self, given)

    def judge(self, user: Any) -> Judgement:
        """Return which documents the user may read, with what `read` gave; logs nothing. May switch."""
        return judge(self, self.read, self.read_form, user)

    def _logged(self, judgement: Judgement) -> Judgement:
        if judgement.error is not None:
            self.complaints.error("read of %s failed and denies", self.name, error=judgement.error)
        return judgement

    def may_see_hidden(self, user: Any) -> bool:
        """Return whether the user may see the hidden fields; a `show_hidden` that raises denies, and is logged."""
        if self._show_hidden is None or user is None:
            return False
        try:
            return self._show_hidden(user) is True
        except Exception as error:
            self.complaints.error("show_hidden of %s failed and denies", self.name, error=error)
            return False

    def fields_for(self, user: Any, show_hidden: bool = False) -> frozenset[str]:
        """Return the names the user sees; the hidden ones only where he asks for them and may see them. May switch."""
        if user is None:
            return frozenset()
        shown = self.shown.names_for(user).difference(self.hidden)
        return shown.union(self.hidden) if show_hidden and self.may_see_hidden(user) else shown

    def visible(self, *, show_hidden: bool) -> frozenset[str]:
        """Return the names that everybody sees, whoever he is; with all of the hidden ones, or without."""
        return self.shown.everybody.union(self.hidden if show_hidden else ())

    def in_order(self, names: Iterable[str]) -> list[str]:
        """Return the names in the order in which rows have them."""
        names = set(names)
        known = [name for name in (*self.fields, *self.hidden) if name in names]
        return known + sorted(names.difference(known))

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

    def label_of(self, document: Any, seen: Iterable[str] | None = None) -> str:
        """Return what the MongoEngine document is called, to one who sees these fields; None: to everybody."""
        if callable(self._label):
            return str(self._label(document))
        visible = self.shown.everybody if seen is None else seen
        if self._label is not None and (self._label in visible or self._label == self.names.key_attribute):
            return str(getattr(document, self._label, ""))
        return f"{self.name} {document.pk}"

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

    def _checked_fields(self) -> tuple[str, ...]:
        if self.shown.is_function:
            return tuple(name for name in self.shown.possible if name not in self.hidden)
        if not self.shown.possible and not self.hidden:
            raise ConfigError(f"expose({self.name}) lists no field; write fields=('name', …)")
        for twice in sorted(set(self.shown.possible) & set(self.hidden)):
            raise ConfigError(f"expose({self.name}): {twice!r} is in fields and in hidden; take it out of one")
        return self.shown.possible

    def _checked_label(self, label: Any) -> Any:
        if label is None or callable(label):
            return label
        if label not in self.fields and label != self.names.key_attribute:
            raise ConfigError(f"expose({self.name}): label is a function of the document, or one of its fields")
        return label


class Exposures:
    """The classes that are exposed, one by one.

    Args:
        groups: function of a user that returns the names of his groups, for classes that show fields by role.
    """

    def __init__(self, groups: Groups = lambda user: ()) -> None:
        self._groups = groups
        self._by_name: dict[str, Exposure] = {}

    def __iter__(self) -> Iterator[Exposure]:
        return iter(tuple(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def expose(self, document_class: Any, **options: Any) -> Exposure:
        """Expose a class; the options are those of `Exposure`.

        Raises:
            ConfigError: a field the class does not declare, a name that is taken, a `read` that cannot be understood.
        """
        exposure = Exposure(document_class, groups=self._groups, **options)
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
