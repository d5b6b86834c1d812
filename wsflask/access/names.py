"""The names of a document class's fields: on the wire, as attributes, in the database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from mongoengine import Document, DynamicDocument, DynamicEmbeddedDocument, EmbeddedDocument
from mongoengine import fields as me
from mongoengine.base import TopLevelDocumentMetaclass, get_document
from mongoengine.errors import MongoEngineException

from ..errors import ConfigError, Refusal
from .fields import FilterField, filter_field
from .paths import is_index

__all__ = ["KEY", "FieldNames", "Reachable", "checked_class"]

#: The primary key on the wire and in the database, whatever its attribute is called.
KEY = "_id"
#: Parts of a path, and its characters.
_MAX_DEPTH = 8
_MAX_PATH = 512


class FieldNames:
    """The fields of a class and those that only its subclasses have; on the wire they bear the attributes' names."""

    def __init__(self, document_class: Any) -> None:
        self._class_name = document_class.__name__
        self._is_dynamic = issubclass(document_class, DynamicDocument | DynamicEmbeddedDocument)
        self._fields = dict(document_class._fields)
        for name in document_class._subclasses:
            if name != document_class._class_name:
                for field_name, field in get_document(name)._fields.items():
                    self._fields.setdefault(field_name, field)
        #: The attribute of the primary key; "" in an embedded document.
        self.key_attribute: str = document_class._meta.get("id_field") or ""

    def __contains__(self, name: object) -> bool:
        return name in self._fields or (self._is_dynamic and _is_plain(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def field(self, name: str) -> Any:
        """Return the MongoEngine field of that name, or None where the class declares none (dynamic documents)."""
        return self._fields.get(self.key_attribute if name == KEY else name)

    def path(self, name: str) -> str:
        """Return the field's name in the database."""
        if name in (KEY, self.key_attribute):
            return KEY
        field = self._fields.get(name)
        return str(field.db_field) if field is not None else name

    def filter_field(self, name: str) -> FilterField:
        """Return how the field is compared."""
        path = self.path(name)
        return filter_field(KEY if path == KEY else name, path, self.field(name))

    def resolve(self, path: str) -> FilterField | None:
        """Return how the field at the end of a dotted path is compared, or None where no such field is declared.

        The path goes into embedded documents, also in lists, by the names of attributes, and into dicts and what has
        no declared type by keys. It does not go into references.
        """
        inside: FieldNames | _Keys | None = self
        field: Any = None
        stored: list[str] = []
        has_list = may_index = False
        for segment in path.split("."):
            if inside is None or not (segment in inside or (inside is self and segment == KEY)):
                return None
            may_index = may_index or (isinstance(inside, _Keys) and inside.may_index and is_index(segment))
            stored.append(inside.path(segment))
            field = inside.field(segment)
            has_list = has_list or isinstance(field, me.ListField)
            inside = _inside(field)
        first, dot, below = path.partition(".")
        name = (KEY if stored[0] == KEY else first) + dot + below
        found = filter_field(name, ".".join(stored), field)
        return dataclasses.replace(found, has_list=has_list, may_index=may_index)

    def checked(self, option: str, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names, each once and without the primary key's, which always comes along.

        Raises:
            ConfigError: a string instead of a list, or a field the class does not declare.
        """
        if isinstance(names, str):
            raise ConfigError(f"expose({self._class_name}): {option} is a string; write {option}=({names!r},)")
        found = tuple(dict.fromkeys(name for name in names if name != KEY))
        for name in found:
            if name not in self:
                raise ConfigError(
                    f"expose({self._class_name}): {option} names {name!r}, which the class does not declare"
                )
        return found


class _Keys:
    """What has keys instead of declared fields."""

    def __init__(self, values: Any, *, may_index: bool) -> None:
        self._values = values
        #: Whether it may be a list, in which a number is a place.
        self.may_index = may_index

    def __contains__(self, key: str) -> bool:
        return key != "" and "$" not in key and "\0" not in key

    def path(self, key: str) -> str:
        return key

    def field(self, key: str) -> Any:
        return self._values


def _inside(field: Any) -> FieldNames | _Keys | None:
    """Return what the field, or an item of the list that it is, has inside; None: nothing that a path leads to."""
    is_list = isinstance(field, me.ListField)
    if is_list:
        field = field.field
    if isinstance(field, me.DictField):
        return _Keys(field.field, may_index=is_list)
    if field is None or type(field) is me.DynamicField or isinstance(field, me.GenericEmbeddedDocumentField):
        return _Keys(None, may_index=True)
    if not isinstance(field, me.EmbeddedDocumentField):
        return None
    try:
        document_type = field.document_type
    except MongoEngineException:
        return None  # it was never defined
    return FieldNames(document_type) if issubclass(document_type, EmbeddedDocument) else None


class Reachable:
    """The fields that a client may name: those of a class that begin with one of these names, or the primary key."""

    def __init__(self, names: FieldNames, first: Iterable[str]) -> None:
        self._names = names
        self._first = frozenset(first) | {KEY, names.key_attribute}

    def get(self, path: str, /) -> FilterField | None:
        """Return the field at the path's end, or None.

        Raises:
            Refusal: too_big or too_deep, whatever there is.
        """
        if len(path) > _MAX_PATH:
            raise Refusal("too_big", "characters of a path")
        if path.count(".") >= _MAX_DEPTH:
            raise Refusal("too_deep", "parts of a path")
        return self._names.resolve(path) if path.partition(".")[0] in self._first else None


def checked_class(document_class: Any) -> Any:
    """Return the class, which has to be a document with a collection of its own.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(document_class, TopLevelDocumentMetaclass) or not issubclass(document_class, Document):
        raise ConfigError(f"{document_class!r} is not a MongoEngine document class; expose a subclass of Document")
    if document_class._meta.get("abstract"):
        raise ConfigError(f"{document_class.__name__} is abstract and has no documents; expose its subclasses")
    return document_class


def _is_plain(name: object) -> bool:
    return isinstance(name, str) and name.isidentifier() and not name.startswith("_")
