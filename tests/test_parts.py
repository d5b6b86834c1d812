"""Equal parts of queries are held once, those of different classes apart."""

from __future__ import annotations

import mongoengine as me

from wsflask.access.exposure import Exposures
from wsflask.config import Settings
from wsflask.live.asking import Asked, query_for
from wsflask.live.parts import Parts
from wsflask.live.view import Query


class PartsGate(me.Document):
    name = me.StringField(db_field="n")


class PartsLounge(me.Document):
    name = me.StringField()


class User:
    is_authenticated = True


def test_equal_parts_are_one_object_and_those_of_two_classes_are_not() -> None:
    exposures = Exposures()
    for document_class in (PartsGate, PartsLounge):
        exposures.expose(document_class, fields=("name",), read=lambda user: True)
    parts = Parts()

    def query(class_name: str, **scope: str) -> Query:
        return parts.shared(query_for(Asked(class_name, scope), User(), exposures, Settings())[0])

    first, second = query("PartsGate", name="A"), query("PartsGate", name="B")
    other = query("PartsLounge", name="A")
    assert first.projection is second.projection
    assert first.access is second.access
    assert first.projection.paths == ("_id", "n")
    assert other.projection.paths == ("_id", "name")
