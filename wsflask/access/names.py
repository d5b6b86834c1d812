"""The names of a document class's fields: on the wire, as attributes, in the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mongoengine import Document, DynamicDocument, DynamicEmbeddedDocument
from mongoengine.base import TopLevelDocumentMetaclass, get_document

from ..errors import ConfigError
from .fields import FilterField, filter_field

__all__ = ["KEY", "FieldNames", "checked_class"]

#: The primary key on the wire and in the database, whatever its attribute is called.
KEY = "_id"


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
