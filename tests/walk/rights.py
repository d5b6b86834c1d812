"""Who may read what, said a second time: in plain Python over plain documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .shapes import CLASSES

__all__ = ["Rights"]

Raw = Mapping[str, Any]

#: Fields that everybody sees who may read the document, of the classes where this is all.
_PLAIN = {
    "Product": ("title", "kind", "price"),
    "Animal": ("name", "age", "owner", "lives", "trick"),
    "Cat": ("name", "lives"),
    "Note": ("topic", "color", "score", "data"),
    "Shipment": ("state", "memo", "order", "via"),
    "Fence": ("number",),
}
#: What supervisors see too.
_HIDDEN = {
    "Order": frozenset(("margin", "secret")),
    "Animal": frozenset(("chip",)),
    "Ticket": frozenset(("watchers", "secret")),
}
_ORDER = ("number", "region", "status", "placed", "paid", "tags", "serial", "code", "product", "products")


@dataclass(frozen=True, slots=True, eq=False)
class Rights:
    """What one user may see, as his documents are at one moment."""

    person: Raw
    #: The colors of notes he may read, which are not in his own document; ["*"] stands for all.
    colors: tuple[str, ...]
    features: frozenset[str]

    @property
    def is_active(self) -> bool:
        """Whether the user may connect at all."""
        return bool(self.person["active"])

    def has_any(self, name: str) -> bool:
        """Return whether there may be a document of the class that the user may read."""
        person = self.person
        if name == "Order":
            return bool(person["regions"]) or bool({"admin", "auditor"} & set(person["roles"]))
        if name == "Product":
            return bool(person["grants"])
        if name == "Cat":
            return bool(person["level"] >= 1)
        return name != "Note" or bool(self.colors)

    def may_read(self, name: str, document: Raw) -> bool:
        """Return whether the user may read this document as one of this class."""
        types = CLASSES[name].types
        if not self.is_active or (types and document.get("_cls") not in types):
            return False
        return bool(getattr(self, f"_{name.lower()}")(document))

    def sees(self, name: str, *, hidden: bool) -> frozenset[str]:
        """Return the names of the fields he sees, the hidden ones if he asks for them."""
        by_user = {"Order": self._order_fields, "Ticket": self._ticket_fields}.get(name)
        seen = by_user() if by_user is not None else _PLAIN[name]
        return frozenset(seen) | (self._hidden_fields(name) if hidden else frozenset())

    def _hidden_fields(self, name: str) -> frozenset[str]:
        person = self.person
        if name in ("Order", "Animal", "Ticket") and person["supervisor"]:
            return _HIDDEN[name]
        if name == "Product" and person["level"] >= 2:
            return frozenset(("supplier",))
        return frozenset(("draft",)) if name == "Note" and "writers" in person["roles"] else frozenset()

    def _order_fields(self) -> tuple[str, ...]:
        roles = self.person["roles"] if "roles" in self.features else ("sales", "finance")
        more = (("remark", "contact") if "sales" in roles else ()) + (("total", "weight") if "finance" in roles else ())
        return _ORDER + more

    def _ticket_fields(self) -> tuple[str, ...]:
        shows_steps = "roles" not in self.features or self.person["level"] >= 1
        return ("title", "owner", "level", "place", *(("steps",) if shows_steps else ()))

    def _order(self, document: Raw) -> bool:
        roles, region = self.person["roles"], document.get("region")
        if "admin" in roles:
            return True
        if "auditor" in roles:
            total = document.get("total")
            is_large = isinstance(total, int | float) and not isinstance(total, bool) and total >= 60
            return is_large or document.get("status") == "done"
        return isinstance(region, str) and region in self.person["regions"]

    def _product(self, document: Raw) -> bool:
        granted = {"Product/*", f"Product/kind/{document.get('k')}", f"Product/key/{document['_id']}"}
        return bool(granted & set(self.person["grants"]))

    def _animal(self, document: Raw) -> bool:
        return True

    def _cat(self, document: Raw) -> bool:
        return bool(self.person["level"] >= 1)

    def _ticket(self, document: Raw) -> bool:
        me: str = self.person["_id"]
        if document.get("owner") == me:
            return True
        if "predicates" not in self.features:
            return False
        if me in (document.get("watchers") or ()):
            return True
        level = document.get("level")
        return "support" in self.person["roles"] and level is not None and int(level) <= self.person["level"]

    def _note(self, document: Raw) -> bool:
        color = document.get("color")
        if self.colors == ("*",):
            return True
        found = color if isinstance(color, list) else [color]
        return any(isinstance(one, str) and one in self.colors for one in found)

    def _shipment(self, document: Raw) -> bool:
        state = document.get("state")
        return self.person["level"] >= 2 or (isinstance(state, str) and state != "secret")

    def _fence(self, document: Raw) -> bool:
        return True
