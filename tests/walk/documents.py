"""Documents drawn at random: what a field may hold, with holes, nulls and now and then the wrong type."""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Callable
from typing import Any

from bson import Decimal128

from .domains import (
    CITIES,
    CODES,
    COLORS,
    KINDS,
    NAMES,
    OWNERS,
    REGIONS,
    SKUS,
    STATES,
    STATUSES,
    TAGS,
    WORDS,
    moment,
)

__all__ = ["Drawer"]

#: Shares of fields that are left out, and that are null.
_HOLES, _NULLS = 0.06, 0.05


class Drawer:
    """Draws values by class and name on the wire; a marker is never drawn twice."""

    _numbers = itertools.count(1)

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def value(self, name: str, field: str) -> Any:
        """Return a value for a field."""
        return getattr(self, f"_{name.lower()}")(field)

    def values(self, name: str, fields: tuple[str, ...]) -> dict[str, Any]:
        """Return values by name on the wire, some missing, some null."""
        found = {field: self.value(name, field) for field in fields if self.rng.random() > _HOLES}
        return {field: None if self.rng.random() < _NULLS else value for field, value in found.items()}

    def marker(self, name: str, field: str) -> str:
        """Return a text that is in no other document."""
        return f"~{name}.{field}.{next(self._numbers):x}~"

    def _order(self, field: str) -> Any:
        rng = self.rng
        draw: Callable[[], Any] | None = {
            "number": lambda: rng.randrange(50),
            "region": lambda: rng.choice(REGIONS),
            "status": lambda: rng.choice(STATUSES),
            "total": lambda: rng.choice((rng.randrange(120) / 2, float(rng.randrange(100)), rng.randrange(100))),
            "weight": lambda: Decimal128(f"{rng.randrange(400) / 100:.2f}"),
            "placed": lambda: moment(rng),
            "paid": lambda: rng.random() < 0.5,
            "tags": lambda: rng.sample(TAGS, rng.randint(0, 3)),
            "serial": lambda: rng.choice((1, 2**53 + 1, 2**60)) + rng.randrange(20),
            "code": lambda: uuid.UUID(rng.choice(CODES)),
            "product": lambda: rng.choice(SKUS),
            "products": lambda: rng.sample(SKUS, rng.randint(0, 3)),
            "margin": lambda: rng.randrange(30) / 10,
        }.get(field)
        return self.marker("Order", field) if draw is None else draw()

    def _product(self, field: str) -> Any:
        rng = self.rng
        if field in ("title", "supplier"):
            return self.marker("Product", field)
        return {"kind": rng.choice(KINDS), "price": rng.randrange(40) / 2, "stock": rng.randrange(9)}[field]

    def _animal(self, field: str) -> Any:
        rng = self.rng
        if field in ("trick", "chip"):
            return self.marker("Animal", field)
        found = {"name": rng.choice(NAMES), "age": rng.randrange(15), "owner": rng.choice(OWNERS), "lives": 9}
        return found[field]

    def _ticket(self, field: str) -> Any:
        rng = self.rng
        if field in ("title", "secret"):
            return self.marker("Ticket", field)
        if field == "place":
            return self._place()
        if field == "steps":
            return [self._step() for _ in range(rng.randint(0, 3))]
        found = {"owner": rng.choice(OWNERS), "level": rng.randrange(5), "watchers": rng.sample(OWNERS, 2)}
        return found[field]

    def _place(self) -> dict[str, Any]:
        rng = self.rng
        found = {"city": rng.choice(CITIES), "zip": str(rng.randrange(3)), "floor": rng.randrange(4)}
        return {name: value for name, value in found.items() if rng.random() > _HOLES}

    def _step(self) -> dict[str, Any]:
        found: dict[str, Any] = {"what": self.rng.choice(WORDS), "minutes": self.rng.randrange(30)}
        return {**found, "place": self._place()} if self.rng.random() < 0.3 else found

    def _note(self, field: str) -> Any:
        rng = self.rng
        if field == "draft":
            return self.marker("Note", field)
        if field == "color":
            return rng.choice((*COLORS, *COLORS, list(COLORS[:2]), 7))
        if field == "score":
            return rng.choice((rng.randrange(10), rng.randrange(10), f"{rng.randrange(10)}", True))
        if field == "data":
            return {"a": rng.randrange(4), "b": {"c": rng.choice(WORDS)}, "d": [1, rng.randrange(3)]}
        return rng.choice(WORDS)

    def _shipment(self, field: str) -> Any:
        if field in ("memo", "cost"):
            return self.marker("Shipment", field)
        return self.rng.choice(STATES) if field == "state" else self.rng.sample(SKUS, self.rng.randint(0, 2))
