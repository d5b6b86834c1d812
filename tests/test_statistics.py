"""The numbers of a worker."""

from __future__ import annotations

from typing import Any

import mongoengine as me
import pytest

from tests.harness.stage import Stage
from wsflask import Broadcaster, Notifier, Service

pytestmark = pytest.mark.usefixtures("database")


class StatisticsGate(me.Document):
    number = me.IntField()


class Lamps(Service):
    channel = "lamps"

    def statistics(self) -> dict[str, Any]:
        return {"lit": 3}


def test_a_server_shows_its_own_numbers_and_those_that_services_tell() -> None:
    StatisticsGate(number=1).save()
    with Stage(Notifier, Broadcaster, Lamps) as stage:
        stage.server.expose(StatisticsGate, fields=("number",), read=lambda user: True)
        ann = stage.connect("ann")
        answer = ann.ask("documents", {"action": "subscribe", "data": {"class_name": "StatisticsGate"}})
        ann.wait("documents", 2)

        found = stage.server.statistics()
        numbers = found.pop("services")

    assert answer["payload"]["state"] == "loaded"
    assert numbers == {
        "documents": {"views": 1, "rows": 1, "subscriptions": 1, "loaded": 1, "resumed": 0, "reset": 0},
        "lamps": {"lit": 3},
    }
    assert (found["connections"], found["users"], found["waiting_bytes"]) == (1, 1, 0)
    assert found["received"] == 1
    assert found["sent"] == len(ann.envelopes)
