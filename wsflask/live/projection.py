"""A projection: how the stored document becomes the row that a view shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

from ..access.exposure import Exposure
from ..access.grants import Access
from ..access.names import KEY
from ..encoding import to_json_value
from .references import Missing, References, referenced_id

__all__ = [
    "LEAF",
    "Embedded",
    "Expanded",
    "Identity",
    "Items",
    "Node",
    "OpenEmbedded",
    "Picked",
    "Projection",
    "Selected",
]


class Node(ABC):
    """How one stored value is shown."""

    #: A text that is equal for nodes that show the same, in every process.
    key: str
    #: The collections of documents that the value refers to and that are shown in it.
    collections: frozenset[str] = frozenset()

    @abstractmethod
    def value(self, stored: Any, references: References) -> Any:
        """Return the JSON value."""

    def note_missing(  # noqa: B027 - most values refer to nothing
        self, stored: Any, references: References, missing: Missing
    ) -> None:
        """Add the documents that this value refers to, shows, and that are not loaded yet."""


class _Leaf(Node):
    """The value as it is."""

    key = "."

    def value(self, stored: Any, references: References) -> Any:
        return to_json_value(stored)


#: The value as it is.
LEAF: Final[Node] = _Leaf()


class Identity(Node):
    """The id in a reference."""

    key = "id"

    def value(self, stored: Any, references: References) -> Any:
        if isinstance(stored, list):
            return [self.value(item, references) for item in stored]
        return to_json_value(referenced_id(stored))


class Items(Node):
    """Each item of a list, or each value of a map, by one node."""

    def __init__(self, inner: Node) -> None:
        self._inner = inner
        self.collections = inner.collections
        self.key = f"[{inner.key}]"

    def value(self, stored: Any, references: References) -> Any:
        if isinstance(stored, list):
            return [self._inner.value(item, references) for item in stored]
        if isinstance(stored, Mapping):
            return {str(name): self._inner.value(item, references) for name, item in stored.items()}
        return self._inner.value(stored, references)

    def note_missing(self, stored: Any, references: References, missing: Missing) -> None:
        items = stored if isinstance(stored, list) else stored.values() if isinstance(stored, Mapping) else (stored,)
        for item in items:
            self._inner.note_missing(item, references, missing)


class Picked(Node):
    """Some keys of a value without declared fields."""

    def __init__(self, keys: Mapping[str, Node]) -> None:
        self._keys = dict(sorted(keys.items()))
        self.key = f"pick{_keys_text(self._keys)}"

    def value(self, stored: Any, references: References) -> Any:
        if isinstance(stored, list):
            return [self.value(item, references) for item in stored]
        if not isinstance(stored, Mapping):
            return to_json_value(stored)
        return {name: node.value(stored.get(name), references) for name, node in self._keys.items()}


class Selected:
    """Some declared fields of a document: (name on the wire, name in the database, node), in the order shown."""

    __slots__ = ("_fields", "_fills", "collections", "key", "paths")

    def __init__(self, fields: list[tuple[str, str, Node]], *, fills: bool) -> None:
        self._fields = fields
        #: Whether a field that is not stored is shown as null.
        self._fills = fills
        self.key = f"{'+' if fills else '-'}{_keys_text({name: node for name, _, node in fields})}"
        #: The collections of other documents that are shown in some field.
        self.collections: frozenset[str] = frozenset().union(*(node.collections for _, _, node in fields))
        #: The names in the database of what is shown.
        self.paths = tuple(path for _, path, _ in fields)

    def values(self, document: Mapping[str, Any], references: References) -> dict[str, Any]:
        """Return the fields by name."""
        shown = {}
        for name, path, node in self._fields:
            if path in document:
                shown[name] = node.value(document[path], references)
            elif self._fills:
                shown[name] = None
        return shown

    def note_missing(self, document: Mapping[str, Any], references: References, missing: Missing) -> None:
        """Add the documents that the fields refer to, show, and that are not loaded yet."""
        for _, path, node in self._fields:
            if node.collections:
                node.note_missing(document.get(path), references, missing)


class Embedded(Node):
    """An embedded document, or a list or map of them."""

    def __init__(self, selected: Selected) -> None:
        self._selected = selected
        self.collections = selected.collections
        self.key = f"embedded{selected.key}"

    def value(self, stored: Any, references: References) -> Any:
        if isinstance(stored, Mapping):
            return self._selected.values(stored, references)
        return to_json_value(stored)

    def note_missing(self, stored: Any, references: References, missing: Missing) -> None:
        if isinstance(stored, Mapping):
            self._selected.note_missing(stored, references, missing)


class OpenEmbedded(Embedded):
    """An embedded document, also with what its class does not declare."""

    def __init__(self, selected: Selected) -> None:
        super().__init__(selected)
        self.key = f"open{selected.key}"

    def value(self, stored: Any, references: References) -> Any:
        if not isinstance(stored, Mapping):
            return to_json_value(stored)
        declared = self._selected.paths
        rest = {str(name): to_json_value(item) for name, item in stored.items() if name not in declared}
        return {**rest, **self._selected.values(stored, references)}


class Expanded(Node):
    """The document that a reference points to, for who may read it; else its id."""

    def __init__(self, exposure: Exposure, access: Access, projection: Projection) -> None:
        self.collections = projection.collections | {exposure.collection}
        self._exposure = exposure
        self._access = access
        self._projection = projection
        self.key = f"expand {exposure.name} {access.key}{projection.key}"

    def value(self, stored: Any, references: References) -> Any:
        identity = referenced_id(stored)
        document = self._readable(identity, references)
        return to_json_value(identity) if document is None else self._projection.row(document, references)

    def note_missing(self, stored: Any, references: References, missing: Missing) -> None:
        identity = referenced_id(stored)
        references.note_missing(self._exposure, identity, missing)
        document = self._readable(identity, references)
        if document is not None:
            self._projection.note_missing(document, references, missing)

    def _readable(self, identity: Any, references: References) -> Mapping[str, Any] | None:
        document = references.get(self._exposure, identity)
        if document is None or not self._exposure.may_read(self._access, document):
            return None
        return document


class Projection:
    """The row of a document: its `_id`, then the selected fields."""

    __slots__ = ("__weakref__", "_selected", "collections", "key", "paths")

    def __init__(self, selected: Selected) -> None:
        self._selected = selected
        self.key = selected.key
        #: The collections of other documents that are shown in the row.
        self.collections = selected.collections
        #: What has to be read of a document, by names in the database.
        self.paths = (KEY, *(path for path in selected.paths if path != KEY))

    @property
    def expands(self) -> bool:
        """Whether other documents are shown in the row."""
        return bool(self.collections)

    def row(self, document: Mapping[str, Any], references: References) -> dict[str, Any]:
        """Return the row; what it expands has to be loaded before, else it stays an id."""
        return {KEY: to_json_value(document.get(KEY)), **self._selected.values(document, references)}

    def note_missing(self, document: Mapping[str, Any], references: References, missing: Missing) -> None:
        """Add the documents that the row shows and that are not loaded yet."""
        self._selected.note_missing(document, references, missing)

    def missing(self, document: Mapping[str, Any], references: References) -> Missing:
        """Return the documents that the row shows and that are not loaded yet."""
        missing: Missing = {}
        self.note_missing(document, references, missing)
        return missing


def _keys_text(nodes: Mapping[str, Node]) -> str:
    return "{" + ",".join(f"{name}:{node.key}" for name, node in nodes.items()) + "}"
