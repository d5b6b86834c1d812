"""The document classes of the walk: one of each kind that wsflask has to show right."""

from __future__ import annotations

from flask_login import UserMixin
from mongoengine import (
    BooleanField,
    DateTimeField,
    Decimal128Field,
    DictField,
    Document,
    DynamicDocument,
    EmbeddedDocument,
    EmbeddedDocumentField,
    EmbeddedDocumentListField,
    FloatField,
    IntField,
    ListField,
    ReferenceField,
    StringField,
    UUIDField,
)

__all__ = [
    "Animal",
    "Cat",
    "Dog",
    "Fence",
    "Note",
    "Order",
    "Person",
    "Place",
    "Product",
    "Shipment",
    "Step",
    "Ticket",
]


class Person(Document, UserMixin):
    """A user; what he may see follows from his fields."""

    name = StringField(primary_key=True)
    roles = ListField(StringField())
    regions = ListField(StringField())
    grants = ListField(StringField())
    level = IntField(default=0)
    supervisor = BooleanField(default=False)
    active = BooleanField(default=True)
    meta = {"collection": "walk_person"}

    def get_id(self) -> str:
        return str(self.name)

    @property
    def is_active(self) -> bool:
        return bool(self.active)

    @property
    def groups(self) -> list[str]:
        """The user's roles, as wsflask asks for them."""
        return list(self.roles)


class Product(Document):
    """A primary key of its own, and names in the database that differ."""

    sku = StringField(primary_key=True)
    title = StringField(db_field="t")
    kind = StringField(db_field="k")
    price = FloatField(db_field="p")
    stock = IntField(db_field="n")
    supplier = StringField(db_field="s")
    meta = {"collection": "walk_product"}


class Order(Document):
    """Many types, and references."""

    number = IntField()
    region = StringField()
    status = StringField()
    total = FloatField()
    weight = Decimal128Field()
    placed = DateTimeField()
    paid = BooleanField()
    tags = ListField(StringField())
    serial = IntField()
    code = UUIDField()
    product = ReferenceField(Product)
    products = ListField(ReferenceField(Product))
    remark = StringField()
    contact = StringField()
    margin = FloatField()
    secret = StringField()
    internal = StringField()
    meta = {"collection": "walk_order"}


class Animal(Document):
    """A base class: its subclasses share its collection."""

    name = StringField()
    age = IntField()
    owner = StringField()
    chip = StringField()
    meta = {"collection": "walk_animal", "allow_inheritance": True}


class Cat(Animal):
    """An animal with a field of its own."""

    lives = IntField()


class Dog(Animal):
    """Another one."""

    trick = StringField(db_field="tr")


class Place(EmbeddedDocument):
    """Where something is."""

    city = StringField()
    zip = StringField(db_field="z")
    floor = IntField()


class Step(EmbeddedDocument):
    """What was done."""

    what = StringField()
    minutes = IntField(db_field="m")
    place = EmbeddedDocumentField(Place)


class Ticket(Document):
    """Embedded documents, and a right that looks at the document."""

    title = StringField()
    owner = StringField()
    level = IntField()
    watchers = ListField(StringField())
    place = EmbeddedDocumentField(Place, db_field="pl")
    steps = EmbeddedDocumentListField(Step)
    secret = StringField()
    meta = {"collection": "walk_ticket"}


class Note(DynamicDocument):
    """Fields that nobody has declared."""

    topic = StringField()
    data = DictField()
    meta = {"collection": "walk_note"}


class Shipment(Document):
    """References to documents that refer to others."""

    number = IntField(primary_key=True)
    state = StringField()
    memo = StringField()
    order = ReferenceField(Order)
    via = ListField(ReferenceField(Product))
    cost = StringField()
    meta = {"collection": "walk_shipment"}


class Fence(Document):
    """What is written last, so that everybody can tell when all before it has arrived."""

    name = StringField(primary_key=True)
    number = IntField()
    meta = {"collection": "walk_fence"}
