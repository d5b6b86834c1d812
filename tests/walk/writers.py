"""Writers: everything that MongoEngine and pymongo can do to documents, drawn at random."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import gevent
from bson import DBRef, ObjectId
from mongoengine.errors import MongoEngineException, ValidationError
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.database import Database
from pymongo.errors import PyMongoError

from .documents import Drawer
from .domains import SKUS
from .models import Animal, Cat, Dog, Note, Order, Place, Product, Shipment, Step, Ticket
from .shapes import CLASSES, to_stored

__all__ = ["Pool", "Writer"]

_FIELDS = {name: tuple(shape.fields) for name, shape in CLASSES.items() if name not in ("Fence", "Cat")}
_MODELS: dict[str, Any] = {
    "Order": Order,
    "Product": Product,
    "Animal": Animal,
    "Ticket": Ticket,
    "Note": Note,
    "Shipment": Shipment,
}
_ANIMALS: dict[str, Any] = {"Animal": Animal, "Animal.Cat": Cat, "Animal.Dog": Dog}
#: Fields of an animal that not every kind has, and which has them.
_OWN = {"lives": "Animal.Cat", "trick": "Animal.Dog"}
#: How often each class is written to.
_WEIGHTS = {"Order": 6, "Product": 1, "Animal": 3, "Ticket": 3, "Note": 3, "Shipment": 2}
#: Documents of a class: about so many there are.
_SIZE = 90


class Pool:
    """The ids of the documents that may be there, shared by all writers."""

    def __init__(self) -> None:
        self.ids: dict[str, list[Any]] = {name: [] for name in _FIELDS}
        #: What was written, by the name of the operation; and errors, which are part of the life.
        self.done: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()


class Writer:
    """Writes until stopped.

    Args:
        rate: writes a second.
    """

    def __init__(self, database: Database[Any], pool: Pool, seed: str, rate: float, features: frozenset[str]) -> None:
        self._database = database
        self._pool = pool
        self._rng = random.Random(f"writer {seed}")
        self._draw = Drawer(self._rng)
        self._pause = 1 / rate
        self._features = features
        self._is_over = False
        self._operations: list[tuple[int, Callable[[str], object]]] = [
            (4, self._insert_by_save),
            (2, self._insert_many),
            (6, self._change_by_save),
            (6, self._change_by_update),
            (10, self._change_raw),
            (2, self._change_many),
            (3, self._replace),
            (3, self._delete),
            (2, self._bulk),
            (1, self._transaction),
        ]

    def fill(self, count: int) -> None:
        """Insert so many documents of each class."""
        for name in _FIELDS:
            documents = {each["_id"]: each for each in (self._raw(name) for _ in range(count))}
            self._collection(name).insert_many(list(documents.values()))

    def run(self) -> None:
        """Write, until `stop`."""
        self._is_over = False
        due = time.monotonic()
        while not self._is_over:
            due = max(due + self._pause * self._rng.uniform(0.5, 1.5), time.monotonic() - 0.2)
            gevent.sleep(max(due - time.monotonic(), 0))
            self.write()

    def stop(self) -> None:
        """Have `run` return after the write under way."""
        self._is_over = True

    def write(self) -> None:
        """Do one thing."""
        name = self._rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        weights = [weight for weight, _ in self._operations]
        operation = self._rng.choices([each for _, each in self._operations], weights)[0]
        size = len(self._pool.ids[name])
        if size < _SIZE // 2:
            operation = self._insert_many
        elif size > _SIZE:
            operation = self._delete
        if "drops" in self._features and self._rng.random() < 0.0004:
            operation = self._drop
        try:
            operation(name)
            self._pool.done[operation.__name__.strip("_")] += 1
        except (PyMongoError, MongoEngineException, ValidationError) as error:
            self._pool.errors[type(error).__name__] += 1

    # --- what is drawn

    def _collection(self, name: str) -> Any:
        return self._database[CLASSES[name].collection]

    def _id(self, name: str) -> Any:
        ids = self._pool.ids[name]
        return self._rng.choice(ids) if ids else ObjectId()

    def _new_id(self, name: str) -> Any:
        if name == "Product":
            found: Any = self._rng.choice(SKUS)
        else:
            found = self._rng.randrange(10_000) if name == "Shipment" else ObjectId()
        if found not in self._pool.ids[name]:
            self._pool.ids[name].append(found)
        return found

    def _values(self, name: str) -> dict[str, Any]:
        fields = _FIELDS[name]
        found = self._draw.values(name, tuple(field for field in fields if field != "order"))
        if "order" in fields:
            found["order"] = self._id("Order")
        return found

    def _raw(self, name: str, identity: Any = None) -> dict[str, Any]:
        found = {"_id": self._new_id(name) if identity is None else identity}
        values = self._values(name)
        if name == "Animal":
            found["_cls"] = kind = self._rng.choice(list(_ANIMALS))
            values = _of_kind(kind, values)
        return {**found, **to_stored(values, CLASSES[name].fields)}

    def _model(self, name: str) -> Any:
        values = {key: _as_attribute(key, value) for key, value in self._values(name).items()}
        identity = self._new_id(name)
        if name == "Animal":
            kind = self._rng.choice(list(_ANIMALS))
            return _ANIMALS[kind](pk=identity, **_of_kind(kind, values))
        return _MODELS[name](pk=identity, **values)

    def _field(self, name: str) -> tuple[str, Any]:
        """Return a field of the class, by its name on the wire, and a value for it."""
        field = self._rng.choice([each for each in _FIELDS[name] if each not in _OWN])
        return field, self._id("Order") if field == "order" else self._draw.value(name, field)

    # --- what is done

    def _insert_by_save(self, name: str) -> None:
        self._model(name).save()

    def _insert_many(self, name: str) -> None:
        documents = {each["_id"]: each for each in (self._raw(name) for _ in range(self._rng.randint(1, 6)))}
        self._collection(name).insert_many(list(documents.values()), ordered=False)

    def _change_by_save(self, name: str) -> None:
        found = _MODELS[name].objects(pk=self._id(name)).first()
        if found is not None:
            for _ in range(self._rng.randint(1, 3)):
                field, value = self._field(name)
                setattr(found, field, _as_attribute(field, value))
            found.save(validate=False)

    def _change_by_update(self, name: str) -> None:
        field, value = self._field(name)
        if field in ("place", "steps", "color", "score", "draft"):
            self._change_raw(name)
            return
        _MODELS[name].objects(pk=self._id(name)).update(**{f"set__{field}": _as_attribute(field, value)})

    def _change_raw(self, name: str) -> None:
        self._collection(name).update_one({"_id": self._id(name)}, self._update(name))

    def _update(self, name: str) -> Any:
        """Return an update document: what is set, unset, counted, pushed, pulled, in embedded documents too."""
        rng = self._rng
        special: list[Any] = {
            "Order": [
                {"$inc": {"number": rng.choice((-1, 1, 5))}},
                {"$push": {"tags": rng.choice(("new", "big"))}},
                {"$pull": {"tags": "new"}},
                {"$mul": {"total": 1.5}},
                {"$set": {"total": rng.choice(("12", True))}},
                {"$set": {"region": 5}},
                {"$rename": {"remark": "contact"}},
                [{"$set": {"number": {"$add": [{"$ifNull": ["$number", 0]}, 1]}}}],
            ],
            "Ticket": [
                {"$set": {"pl.city": "Oslo"}},
                {"$unset": {"pl.z": 1}},
                {"$push": {"steps": {"what": "act", "m": rng.randrange(30)}}},
                {"$pop": {"steps": 1}},
                {"$set": {"steps.$[].m": rng.randrange(30)}},
                {"$addToSet": {"watchers": rng.choice(("user1", "user2"))}},
                {"$pull": {"watchers": "user1"}},
            ],
            "Note": [
                {"$set": {"data.a": rng.randrange(4)}},
                {"$unset": {"data.b": 1}},
                {"$set": {"extra": self._draw.marker("Note", "extra")}},
                {"$rename": {"topic": "draft"}} if rng.random() < 0.05 else {"$set": {"score": None}},
            ],
        }.get(name, [])
        if special and rng.random() < 0.3:
            return rng.choice(special)
        field, value = self._field(name)
        path = CLASSES[name].fields[field].path
        if rng.random() < 0.1:
            return {"$unset": {path: ""}}
        return {"$set": to_stored({field: value}, CLASSES[name].fields)}

    def _change_many(self, name: str) -> None:
        ids = [self._id(name) for _ in range(self._rng.randint(2, 8))]
        self._collection(name).update_many({"_id": {"$in": ids}}, self._update(name))

    def _replace(self, name: str) -> None:
        identity, upsert = self._id(name), self._rng.random() < 0.3
        self._collection(name).replace_one({"_id": identity}, self._raw(name, identity), upsert=upsert)

    def _delete(self, name: str) -> None:
        identity = self._id(name)
        if self._rng.random() < 0.4:
            _MODELS[name].objects(pk=identity).delete()
        else:
            self._collection(name).delete_one({"_id": identity})
        if identity in self._pool.ids[name] and self._rng.random() < 0.8:
            self._pool.ids[name].remove(identity)

    def _bulk(self, name: str) -> None:
        identity = self._id(name)
        operations: list[Any] = [
            UpdateOne({"_id": identity}, self._update(name)),
            ReplaceOne({"_id": identity}, self._raw(name, identity)),
            DeleteOne({"_id": self._id(name)}),
            InsertOne(self._raw(name)),
            UpdateOne({"_id": identity}, self._update(name)),
            UpdateMany({"_id": {"$in": [identity, self._id(name)]}}, self._update(name)),
        ]
        self._collection(name).bulk_write(self._rng.sample(operations, 4), ordered=False)

    def _transaction(self, name: str) -> None:
        if "transactions" not in self._features:
            return
        other = self._rng.choice(list(_FIELDS))
        with self._database.client.start_session() as session, session.start_transaction():
            for each in (name, other, name):
                self._collection(each).update_one({"_id": self._id(each)}, self._update(each), session=session)
            self._collection(name).delete_one({"_id": self._id(name)}, session=session)
            self._collection(name).insert_one(self._raw(name), session=session)

    def _drop(self, name: str) -> None:
        self._pool.ids[name].clear()
        self._collection(name).drop()


def _of_kind(kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that this kind of animal has."""
    return {name: value for name, value in values.items() if _OWN.get(name, kind) == kind}


def _as_attribute(field: str, value: Any) -> Any:
    """Return a value as MongoEngine takes it."""
    if field == "place" and isinstance(value, dict):
        return Place(**value)
    if field == "steps" and isinstance(value, list):
        return [Step(**{**each, "place": _as_attribute("place", each.get("place"))}) for each in value]
    if field in ("products", "via") and isinstance(value, list):
        return [DBRef("walk_product", sku) for sku in value]
    return DBRef("walk_product", value) if field == "product" and value is not None else value
