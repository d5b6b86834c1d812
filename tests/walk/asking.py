"""What clients ask for: subscriptions drawn at random."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from wsflask.encoding import to_json_value

from .documents import Drawer
from .rights import Rights
from .shapes import CLASSES, EMBEDDED, Field

__all__ = ["Asking"]

_WEIGHTS = {"Order": 6, "Product": 2, "Animal": 3, "Cat": 1, "Ticket": 4, "Note": 3, "Shipment": 3}
_ORDERED = ("<", "<=", ">", ">=")
#: Kinds that cannot be sorted by; by a reference one can, but who does.
_UNORDERED = ("embedded", "dict", "reference", "uuid")
#: Share of requests for a field that the user does not see.
_FORBIDDEN = 0.02


class Asking:
    """Draws the data of subscriptions.

    Args:
        an_id: draws the id of a document of a class.
    """

    def __init__(self, rng: random.Random, features: frozenset[str], an_id: Callable[[str], Any]) -> None:
        self._rng = rng
        self._features = features
        self._an_id = an_id
        self._draw = Drawer(rng)

    def subscription(self, rights: Rights) -> dict[str, Any]:
        """Return what to subscribe to; most of it is allowed."""
        rng = self._rng
        name = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        hidden = "hidden" in self._features and rng.random() < 0.4
        data: dict[str, Any] = {"class_name": name}
        if hidden:
            data["show_hidden"] = True
        sees = rights.sees(name, hidden=hidden)
        if rng.random() < _FORBIDDEN:
            sees = frozenset(CLASSES[name].fields) - {"order"}
        scope = self._scope(name, sorted(sees))
        if scope:
            data["data_scope"] = scope
        if rng.random() < 0.6:
            data["catalog"] = self._catalog(name, depth=0)
        if "orders" in self._features and rng.random() < 0.35:
            data.update(self._window(name, sorted(sees)))
        return data

    def _scope(self, name: str, sees: list[str]) -> Any:
        count = self._rng.choice((0, 1, 1, 1, 2, 3))
        drawn = [self._condition(name, sees) for _ in range(count)]
        if "mappings" not in self._features or self._rng.random() < 0.5:
            return [{"fn": path, "op": op, "val": value} for path, op, value in drawn]
        found: dict[str, Any] = {}
        for path, op, value in drawn:
            if op == "==" and path not in found and self._rng.random() < 0.7 and not isinstance(value, dict):
                found[path] = value
            elif isinstance(found.setdefault(path, {}), dict):
                found[path][op] = value
        return found

    def _condition(self, name: str, sees: list[str]) -> tuple[str, str, Any]:
        rng = self._rng
        if rng.random() < 0.1 or not sees:
            ids = [self._id_value(name) for _ in range(rng.randint(1, 12))]
            return "_id", "in", ids
        wire = rng.choice(sees)
        field = CLASSES[name].fields[wire]
        if field.kind == "embedded" and "paths" in self._features:
            return self._deep(wire, field)
        if field.kind in ("embedded", "dict"):
            return wire, rng.choice(("==", "!=")), None
        if rng.random() < 0.1 and not field.is_list:
            return wire, rng.choice(("==", "!=")), None
        value = self._value(name, wire, field)
        ops = ["==", "!=", "in"]
        if field.kind in ("number", "decimal", "date", "string") or (
            field.kind == "any" and not isinstance(value, bool)
        ):
            ops += _ORDERED
        op = rng.choice(ops)
        return wire, op, [value, self._value(name, wire, field)] if op == "in" else value

    def _deep(self, wire: str, field: Field) -> tuple[str, str, Any]:
        """Return a condition on a field of an embedded document."""
        rng = self._rng
        inner = rng.choice(("city", "zip", "floor") if field.target == "Place" else ("what", "minutes", "place.city"))
        fields = EMBEDDED["Place"] if field.target == "Place" or "." in inner else EMBEDDED["Step"]
        kind = fields[inner.rpartition(".")[2]].kind
        value = {"city": "Rome", "zip": "1", "what": "check"}.get(inner.rpartition(".")[2], rng.randrange(20))
        if kind == "number" and inner == "floor":
            value = rng.randrange(4)
        op = rng.choice(("==", "!=", "in", *(_ORDERED if kind == "number" else ())))
        return f"{wire}.{inner}", op, [value] if op == "in" else value

    def _value(self, name: str, wire: str, field: Field) -> Any:
        if field.kind == "reference":
            return self._id_value(field.target)
        drawn = None
        while drawn is None or isinstance(drawn, dict):
            drawn = self._draw.value("Animal" if name == "Cat" else name, wire)
            if isinstance(drawn, list):
                drawn = self._rng.choice(drawn) if drawn else None
        return to_json_value(drawn)

    def _id_value(self, name: str) -> Any:
        return to_json_value(self._an_id("Animal" if name == "Cat" else name))

    def _catalog(self, name: str, depth: int) -> dict[str, Any]:
        """Return a catalog; it may name fields that one does not see, and that nobody has."""
        rng = self._rng
        fields = CLASSES[name].fields
        chosen = rng.sample(sorted(fields), rng.randint(1, min(6, len(fields))))
        found: dict[str, Any] = {wire: self._wanted(fields[wire], depth) for wire in chosen}
        if rng.random() < 0.1:
            found["nowhere"] = None
        return found

    def _wanted(self, field: Field, depth: int) -> Any:
        rng = self._rng
        if field.kind == "reference":
            if "expansions" not in self._features:
                return rng.choice((None, True))
            return rng.choice((None, True, False, self._catalog(field.target, depth + 1) if depth < 2 else None))
        if field.kind == "embedded" and rng.random() < 0.5:
            names = EMBEDDED[field.target]
            return dict.fromkeys(rng.sample(sorted(names), rng.randint(1, 2)))
        if field.kind == "dict" and rng.random() < 0.5:
            return {"a": None, "z": None}
        return rng.choice((None, True, False))

    def _window(self, name: str, sees: list[str]) -> dict[str, Any]:
        rng = self._rng
        plain = [wire for wire in sees if CLASSES[name].fields[wire].kind not in _UNORDERED]
        names = rng.sample(plain, min(len(plain), rng.randint(1, 2)))
        keys = [rng.choice(("", "-")) + wire for wire in names]
        found: dict[str, Any] = {"limit": rng.choice((1, 3, 10, 25))} if rng.random() < 0.85 else {}
        if keys and (not found or rng.random() < 0.9):
            found["order_by"] = keys[0] if len(keys) == 1 else keys
        return found
