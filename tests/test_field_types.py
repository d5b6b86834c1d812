"""Every field type of MongoEngine: what a browser gets of it, and that it can ask for what it got."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import mongoengine as me
import pytest
from bson import Binary, Decimal128, Int64, ObjectId
from mongoengine import fields as field_types

from tests import harness
from wsflask.access import ALL, Exposure
from wsflask.encoding import to_json_value
from wsflask.errors import Refusal
from wsflask.live.catalog import Right, parse_catalog
from wsflask.live.references import References

UTC = datetime.UTC
NOON = datetime.datetime(2013, 2, 8, 12, 0, tzinfo=UTC)
DAY = datetime.date(2013, 2, 8)
FILE = ObjectId("585a88b208b199f61004d969")
RING = [[0, 0], [1, 0], [1, 1], [0, 0]]
LINE = [[12.5, 41.9], [9.2, 45.5]]


class Status(enum.Enum):
    BOARDING = "boarding"
    LATE = "late"


class Mixed(enum.Enum):
    ID = ObjectId("585a88b208b199f61004d968")
    BIG = 2**60
    ONE = 1


class FieldsAirline(me.Document):
    code = me.StringField(primary_key=True)
    name = me.StringField()
    meta = {"collection": "fields_airline"}


class FieldsAddress(me.EmbeddedDocument):
    city = me.StringField(db_field="c")
    since = me.DateField(db_field="s")


def address() -> FieldsAddress:
    return FieldsAddress(city="Rome", since=DAY)


def airline() -> FieldsAirline:
    return FieldsAirline(code="UA")


#: Field as in docs/fields.md to the field and a value that a program gives it.
CASES: dict[str, tuple[Any, Any]] = {
    "StringField": (me.StringField(), "late"),
    "URLField": (me.URLField(), "https://example.com/a?b=1"),
    "EmailField": (me.EmailField(), "ann@example.com"),
    "IntField": (me.IntField(), 7),
    "LongField": (me.LongField(), 2**53 + 1),
    "SequenceField": (me.SequenceField(), 41),
    "FloatField": (me.FloatField(), 0.1),
    "DecimalField": (me.DecimalField(), decimal.Decimal("9.90")),
    "DecimalField(force_string=True)": (me.DecimalField(force_string=True), decimal.Decimal("9.90")),
    "Decimal128Field": (me.Decimal128Field(), decimal.Decimal("9.90")),
    "BooleanField": (me.BooleanField(), True),
    "DateTimeField": (me.DateTimeField(), NOON.replace(microsecond=500_999)),
    "DateField": (me.DateField(), DAY),
    "ComplexDateTimeField": (me.ComplexDateTimeField(), NOON.replace(microsecond=7)),
    "ObjectIdField": (me.ObjectIdField(), ObjectId("585a88b208b199f61004d968")),
    "UUIDField": (me.UUIDField(), uuid.UUID(int=7)),
    "UUIDField(binary=False)": (me.UUIDField(binary=False), uuid.UUID(int=8)),
    "EnumField": (me.EnumField(Status), Status.BOARDING),
    "BinaryField": (me.BinaryField(), b"\0\xff\xfe"),
    "FileField": (me.FileField(), b"a file"),
    "ReferenceField": (me.ReferenceField(FieldsAirline), airline),
    "ReferenceField(dbref=True)": (me.ReferenceField(FieldsAirline, dbref=True), airline),
    "LazyReferenceField": (me.LazyReferenceField(FieldsAirline), airline),
    "LazyReferenceField(dbref=True)": (me.LazyReferenceField(FieldsAirline, dbref=True), airline),
    "CachedReferenceField": (me.CachedReferenceField(FieldsAirline, fields=["name"]), airline),
    "GenericReferenceField": (me.GenericReferenceField(), airline),
    "GenericLazyReferenceField": (me.GenericLazyReferenceField(), airline),
    "EmbeddedDocumentField": (me.EmbeddedDocumentField(FieldsAddress), address),
    "GenericEmbeddedDocumentField": (me.GenericEmbeddedDocumentField(), address),
    "EmbeddedDocumentListField": (me.EmbeddedDocumentListField(FieldsAddress), lambda: [address()]),
    "ListField": (me.ListField(me.DateField()), [DAY, DAY + datetime.timedelta(days=1)]),
    "SortedListField": (me.SortedListField(me.IntField()), [3, 1, 2]),
    "DictField": (me.DictField(), {"a": {"b": NOON}}),
    "MapField": (me.MapField(me.DateField()), {"a": DAY}),
    "DynamicField": (me.DynamicField(), "anything"),
    "GeoPointField": (me.GeoPointField(), (12.5, 41.9)),
    "PointField": (me.PointField(), [12.5, 41.9]),
    "LineStringField": (me.LineStringField(), LINE),
    "PolygonField": (me.PolygonField(), [RING]),
    "MultiPointField": (me.MultiPointField(), LINE),
    "MultiLineStringField": (me.MultiLineStringField(), [LINE]),
    "MultiPolygonField": (me.MultiPolygonField(), [[RING]]),
}


def attribute(name: str) -> str:
    return re.sub(r"\W+", "_", name).strip("_").lower()


Everything: Any = type(
    "FieldsEverything",
    (me.Document,),
    {
        **{attribute(name): field for name, (field, _) in CASES.items()},
        "meta": {"collection": "fields_everything", "auto_create_index": False},
    },
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table."""

    names: list[str]
    json: Any
    asks_with: str
    is_ordered: bool

    @property
    def field(self) -> str:
        return attribute(self.names[0])

    @property
    def value(self) -> Any:
        """What a scope asks with."""
        return self.json[0] if self.asks_with == "one item" else self.json


def table() -> list[Line]:
    lines = []
    for line in (harness.ROOT / "docs" / "fields.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            names = re.findall(r"`(.+?)`", cells[0])
            lines.append(Line(names, json.loads(cells[2].strip("`")), cells[3], cells[4] == "yes"))
    return lines


TABLE = table()
each_line = pytest.mark.parametrize("line", TABLE, ids=lambda line: line.field)


def exposure_of(document_class: Any, *fields: str) -> Exposure:
    return Exposure(document_class, fields=fields or tuple(document_class._fields), acl=lambda user: True)


def row_of(exposure: Exposure, raw: Mapping[str, Any], catalog: Any = None) -> dict[str, Any]:
    right = Right(exposure, ALL, exposure.visible(show_hidden=False))
    return parse_catalog(catalog, right, lambda _: None).row(raw, References())


def found(exposure: Exposure, *conditions: tuple[str, str, Any]) -> list[Any]:
    """Return the keys of the documents that the scope finds, which are the same in memory."""
    data = [{"fn": name, "op": op, "val": value} for name, op, value in conditions]
    scope = exposure.type_scope & exposure.parse_scope(data, exposure.fields)
    collection = exposure.document_class._get_collection()
    keys = [document["_id"] for document in collection.find(scope.to_query())]
    assert keys == [document["_id"] for document in collection.find() if scope.matches(document)]
    return keys


def saved(name: str) -> Any:
    """Save a document with this one field, and one without."""
    FieldsAirline(code="UA", name="United").save()
    _, value = CASES[name]
    Everything._get_collection().insert_one({})
    document = Everything(sequencefield=2)
    if name == "FileField":
        document.filefield.put(value, _id=FILE)
    else:
        setattr(document, attribute(name), value() if callable(value) and not isinstance(value, enum.Enum) else value)
    return document.save()


# --- the table


def test_every_field_type_is_in_the_table() -> None:
    kinds = {name for name in field_types.__all__ if name.endswith("Field")} - {"GeoJsonBaseField"}

    assert {name.partition("(")[0] for line in TABLE for name in line.names} == kinds
    assert {line.names[0] for line in TABLE} == set(CASES)
    assert issubclass(me.ImageField, me.FileField)


@each_line
def test_a_row_has_what_the_table_says(database: harness.Database, line: Line) -> None:
    document = saved(line.names[0])
    exposure = exposure_of(Everything, line.field)
    raw = database["fields_everything"].find_one({"_id": document.pk})

    assert row_of(exposure, raw) == {"_id": str(document.pk), line.field: line.json}


@each_line
def test_what_a_row_has_finds_exactly_its_document(database: harness.Database, line: Line) -> None:
    document = saved(line.names[0])
    exposure = exposure_of(Everything, line.field)

    if line.asks_with == "null only":
        with pytest.raises(Refusal, match="bad_data"):
            found(exposure, (line.field, "==", line.json))
        assert found(exposure, (line.field, "!=", None)) == [document.pk]
        return
    assert found(exposure, (line.field, "==", line.value)) == [document.pk]
    assert found(exposure, (line.field, "in", [line.value])) == [document.pk]
    assert found(exposure, (line.field, "!=", line.value), ("_id", "==", str(document.pk))) == []


@each_line
def test_what_is_ordered_compares_with_itself(database: harness.Database, line: Line) -> None:
    document = saved(line.names[0])
    exposure = exposure_of(Everything, line.field)

    if not line.is_ordered:
        with pytest.raises(Refusal, match="bad_data"):
            found(exposure, (line.field, ">=", line.value))
        return
    mine = ("_id", "==", str(document.pk))
    assert found(exposure, (line.field, ">=", line.value), (line.field, "<=", line.value), mine) == [document.pk]


@each_line
def test_what_is_stored_is_understood_as_json(database: harness.Database, line: Line) -> None:
    """A scope that was written by the server is one that it reads."""
    document = saved(line.names[0])
    if line.asks_with == "null only":
        return
    stored = database["fields_everything"].find_one({"_id": document.pk})[line.field]
    value = to_json_value(stored[0] if isinstance(stored, list) else stored)

    assert found(exposure_of(Everything, line.field), (line.field, "==", value)) == [document.pk]


# --- values that are easily lost


class FieldsNumbers(me.Document):
    whole = me.IntField()
    ratio = me.FloatField()
    price = me.Decimal128Field()
    mixed = me.EnumField(Mixed)
    meta = {"collection": "fields_numbers"}


@pytest.mark.parametrize(
    ("field", "stored", "shown"),
    [
        ("whole", 2**53 - 1, 2**53 - 1),
        ("whole", Int64(2**53), str(2**53)),
        ("whole", Int64(-(2**63)), str(-(2**63))),
        ("ratio", 5e-324, 5e-324),
        ("ratio", 1e300, 1e300),
        ("ratio", float(2**60), float(2**60)),
        ("price", Decimal128("0.1000000000000000055511151231257827"), "0.1000000000000000055511151231257827"),
        ("price", Decimal128("1E+6000"), "1E+6000"),
        ("price", Decimal128("-0.00"), "-0.00"),
        ("mixed", Mixed.ID.value, "585a88b208b199f61004d968"),
        ("mixed", Int64(Mixed.BIG.value), str(2**60)),
        ("mixed", 1, 1),
    ],
)
def test_a_number_keeps_its_digits(database: harness.Database, field: str, stored: Any, shown: Any) -> None:
    database["fields_numbers"].insert_many([{"_id": 1, field: stored}, {"_id": 2}])
    exposure = exposure_of(FieldsNumbers)
    row = row_of(exposure, database["fields_numbers"].find_one({"_id": 1}))

    assert row[field] == shown
    assert type(row[field]) is type(shown)
    assert found(exposure, (field, "==", row[field])) == [1]


@pytest.mark.parametrize("stored", [float("nan"), float("inf"), Decimal128("NaN"), Decimal128("-Infinity")])
def test_what_is_no_finite_number_is_null(stored: Any) -> None:
    assert row_of(exposure_of(FieldsNumbers), {"_id": 1, "ratio": stored})["ratio"] is None


@pytest.mark.parametrize("subtype", [3, 4])
def test_a_uuid_is_one_however_it_was_written(database: harness.Database, subtype: int) -> None:
    """A connection without a uuidRepresentation reads binary, and an older program has written another subtype."""
    value = Binary(uuid.UUID(int=7).bytes, subtype)
    database["fields_everything"].insert_many([{"_id": FILE, "uuidfield": value}, {}])
    exposure = exposure_of(Everything, "uuidfield")

    assert row_of(exposure, {"_id": FILE, "uuidfield": value})["uuidfield"] == str(uuid.UUID(int=7))
    assert found(exposure, ("uuidfield", "==", str(uuid.UUID(int=7)))) == [FILE]


def test_a_value_of_another_type_than_declared_is_shown_as_it_is() -> None:
    exposure = exposure_of(Everything, "datefield", "complexdatetimefield", "genericembeddeddocumentfield")
    raw = {"datefield": "soon", "complexdatetimefield": "2013;02", "genericembeddeddocumentfield": {"_cls": "Gone"}}

    assert row_of(exposure, {"_id": 1, **raw}) == {"_id": 1, **raw}


# --- embedded documents


class FieldsBase(me.EmbeddedDocument):
    name = me.StringField(db_field="n")
    meta = {"allow_inheritance": True}


class FieldsDerived(FieldsBase):
    day = me.DateField(db_field="d")


class FieldsOpen(me.DynamicEmbeddedDocument):
    name = me.StringField(db_field="n")


class FieldsHolder(me.Document):
    base = me.EmbeddedDocumentField(FieldsBase)
    opened = me.EmbeddedDocumentField(FieldsOpen, db_field="o")
    any_of = me.ListField(me.GenericEmbeddedDocumentField())
    by_name = me.DictField(me.EmbeddedDocumentField(FieldsAddress))
    meta = {"collection": "fields_holder"}


def test_embedded_documents_have_their_attributes_names(database: harness.Database) -> None:
    opened = FieldsOpen(name="a")
    opened.extra = 5
    FieldsHolder(
        base=FieldsDerived(name="b", day=DAY), opened=opened, any_of=[address()], by_name={"home": address()}
    ).save()
    raw = database["fields_holder"].find_one()
    row = row_of(exposure_of(FieldsHolder), raw)

    assert row["base"] == {"_cls": "FieldsDerived", "name": "b", "day": "2013-02-08"}
    assert row["opened"] == {"name": "a", "extra": 5}
    assert row["any_of"] == [{"_cls": "FieldsAddress", "city": "Rome", "since": "2013-02-08"}]
    assert row["by_name"] == {"home": {"city": "Rome", "since": "2013-02-08"}}


def test_a_catalog_selects_in_embedded_documents_by_their_attributes_names(database: harness.Database) -> None:
    FieldsHolder(any_of=[address()], by_name={"home": address(), "work": address()}).save()
    raw = database["fields_holder"].find_one()
    row = row_of(exposure_of(FieldsHolder), raw, {"any_of": {"city": None}, "by_name": {"home": {"since": None}}})

    assert row["any_of"] == [{"_cls": "FieldsAddress", "city": "Rome"}]
    assert row["by_name"] == {"home": {"since": "2013-02-08"}}


# --- keys, names and classes


@pytest.mark.parametrize(
    ("field", "key", "shown"),
    [
        (me.StringField(primary_key=True), "UA", "UA"),
        (me.LongField(primary_key=True), 2**60, str(2**60)),
        (me.UUIDField(primary_key=True), uuid.UUID(int=7), str(uuid.UUID(int=7))),
        (me.Decimal128Field(primary_key=True), decimal.Decimal("1.10"), "1.10"),
        (me.DateTimeField(primary_key=True), NOON, "2013-02-08T12:00:00Z"),
        (me.DateField(primary_key=True), DAY, "2013-02-08T00:00:00Z"),
        (me.ComplexDateTimeField(primary_key=True), NOON, "2013,02,08,12,00,00,000000"),
        (me.EnumField(Status, primary_key=True), Status.LATE, "late"),
        (me.BinaryField(primary_key=True), b"\0\xff", "AP8="),
        (me.SequenceField(primary_key=True), 5, 5),
        (me.ReferenceField(FieldsAirline, primary_key=True), FieldsAirline(code="UA"), "UA"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_primary_key_of_any_type_is_asked_for_by_what_is_shown(
    database: harness.Database, field: Any, key: Any, shown: Any
) -> None:
    keyed: Any = type("FieldsKeyed", (me.Document,), {"own": field, "meta": {"collection": "fields_keyed"}})
    keyed(own=key).save()
    (raw,) = database["fields_keyed"].find()
    exposure = exposure_of(keyed)
    row = row_of(exposure, raw)

    assert row["_id"] == shown
    assert found(exposure, ("_id", "==", row["_id"])) == [raw["_id"]]
    assert found(exposure, ("own", "==", row["own"])) == [raw["_id"]]


class FieldsVehicle(me.Document):
    plate = me.StringField(db_field="p")
    meta = {"collection": "fields_vehicle", "allow_inheritance": True}


class FieldsTruck(FieldsVehicle):
    load = me.LongField(db_field="l")


def test_a_base_class_shows_its_subclasses_and_a_subclass_its_own(database: harness.Database) -> None:
    car, truck = FieldsVehicle(plate="A").save(), FieldsTruck(plate="A", load=5).save()
    base, own = exposure_of(FieldsVehicle, "_cls", "plate", "load"), exposure_of(FieldsTruck, "_cls", "load")
    raw = {document["_id"]: document for document in database["fields_vehicle"].find()}

    assert row_of(base, raw[car.pk]) == {"_id": str(car.pk), "_cls": "FieldsVehicle", "plate": "A", "load": None}
    assert row_of(own, raw[truck.pk]) == {"_id": str(truck.pk), "_cls": "FieldsVehicle.FieldsTruck", "load": 5}
    assert found(base, ("plate", "==", "A")) == [car.pk, truck.pk]
    assert found(base, ("_cls", "==", "FieldsVehicle.FieldsTruck")) == [truck.pk]
    assert found(own) == [truck.pk]


class FieldsLoose(me.DynamicDocument):
    name = me.StringField(db_field="n")
    meta = {"collection": "fields_loose"}


def test_a_dynamic_document_shows_listed_fields_that_it_does_not_declare(database: harness.Database) -> None:
    document = FieldsLoose(name="a", weight=2.5, when=NOON, owner=ObjectId(), secret=1).save()
    exposure = exposure_of(FieldsLoose, "name", "weight", "when")
    row = row_of(exposure, database["fields_loose"].find_one())

    assert row == {"_id": str(document.pk), "name": "a", "weight": 2.5, "when": "2013-02-08T12:00:00Z"}
    assert found(exposure, ("weight", "==", 2.5), ("name", "==", "a")) == [document.pk]
    assert found(exposure, ("when", "==", row["when"])) == []  # of no declared type: a text is a text
