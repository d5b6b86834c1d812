"""The database's history ends, or breaks: oplog rolled over, collection dropped or renamed, an event too large."""

from __future__ import annotations

import time
from typing import Any

from pymongo import WriteConcern

from wsflask.testing.processes import freeze, thaw

from ..oplog import latest, roll_over
from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial

_HOLDS = "recognised; reset and fresh load; other streams unaffected"


@row(
    "oplog-rolled",
    "the oplog rolled over while a worker was stopped",
    _HOLDS,
    needs=Needs(oplog_megabytes=1, mongod=("--syncdelay", "1")),
    is_quick=False,
    may_reset=True,
)
def roll(stand: Stand, trial: Trial) -> None:
    stand.wait(3)
    pid = stand.workers()[0]
    stopped = latest(stand.client)
    freeze(pid)
    is_gone = roll_over(stand.client, stopped)
    thaw(pid)
    stand.wait(8)
    trial.saw("the history now begins after the worker was stopped", is_gone)
    told = stand.fleet.collect()
    reset = [each["name"] for each in told if each["counts"]["reset"] or each["counts"]["viewResets"]]
    trial.saw(f"{len(reset)} of {len(told)} tabs were told of a reset", reset)
    trial.check("tabs of the other worker were reset, too", len(reset) < len(told))


@row("collection-dropped", "a collection is dropped", _HOLDS)
def drop(stand: Stand, trial: Trial) -> None:
    _away(stand, trial, stand.database["faults_item"].drop)


@row("collection-renamed", "a collection is renamed", _HOLDS, is_quick=False)
def rename(stand: Stand, trial: Trial) -> None:
    name = f"old_{time.time_ns()}"
    _away(stand, trial, lambda: stand.database["faults_item"].rename(name))


def _away(stand: Stand, trial: Trial, harm: Any) -> None:
    before, resets = _uuid(stand), _resets(stand)
    stand.wait(2 if trial.is_short else 10)
    harm()
    stand.wait(2 if trial.is_short else 10)
    after = _uuid(stand)
    trial.saw("the collection is another one now", before != after)
    trial.check("streams beside it were reset", _resets(stand) == resets)


def _uuid(stand: Stand) -> Any:
    found = next(iter(stand.database.list_collections(filter={"name": "faults_item"})), None)
    return found and found["info"]["uuid"]


def _resets(stand: Stand) -> int:
    return sum(each["counts"]["reset"] for each in stand.fleet.collect())


@row("event-over-16-mb", "changes of a document of almost 16 MB", _HOLDS, is_quick=False)
def huge(stand: Stand, trial: Trial) -> None:
    resets = _resets(stand)
    items = stand.database["faults_item"].with_options(write_concern=WriteConcern("majority"))
    items.insert_one({"_id": -1, "region": "nowhere", "version": 1, "text": "x" * 16_700_000})
    stand.wait(1)
    items.update_one({"_id": -1}, {"$set": {"text": "y" * 16_700_000}})
    stand.wait(5)
    items.delete_one({"_id": -1})
    stand.wait(3)
    trial.saw("two images of 16.7 MB were written", True)
    trial.check("streams beside it were reset", _resets(stand) == resets)
