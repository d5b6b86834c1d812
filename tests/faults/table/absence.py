"""A client is away for very long."""

from __future__ import annotations

from ..oplog import latest, roll_over
from ..rows import row
from ..stand import Needs, Stand
from ..trial import Trial


def _leave(stand: Stand) -> list[str]:
    names = stand.fleet.names[:: max(len(stand.fleet.names) // 10, 1)]
    stand.fleet.all("leave", names)
    return names


@row(
    "absent",
    "a client is away for two minutes with four times the notifications",
    "inside the retention: resumed, in chunks",
    is_quick=False,
)
def absent(stand: Stand, trial: Trial) -> None:
    before = stand.writers.count("notifications")
    earlier = {each["name"]: each["counts"] for each in stand.fleet.collect()}
    names = _leave(stand)
    stand.writers.write(notifications=4 * stand.load.notifications)
    stand.wait(10 if trial.is_short else 120)
    missed = stand.writers.count("notifications") - before
    stand.fleet.all("return", names)
    stand.wait(5)
    told = [each for each in stand.fleet.collect() if each["name"] in names]
    trial.saw(
        f"{len(names)} tabs were away while {missed} notifications were written",
        missed > (10 if trial.is_short else 120) * stand.load.notifications,
    )
    trial.note("not for an hour, as many are missed as in eight minutes of the load; the history holds an hour of them")
    grown = [
        {kind: each["counts"][kind] - earlier[each["name"]][kind] for kind in ("opened", "resumed", "reset")}
        for each in told
    ]
    trial.saw("they came back", all(each["opened"] for each in grown))
    trial.check("they were reset", not any(each["reset"] for each in grown))
    trial.saw("their streams were resumed", all(each["resumed"] for each in grown))


@row(
    "absent-beyond",
    "a client is away until the history has forgotten",
    "outside the retention: reset, and loaded anew",
    needs=Needs(oplog_megabytes=1, mongod=("--syncdelay", "1"), alone="absent"),
    is_quick=False,
    may_reset=True,
)
def beyond(stand: Stand, trial: Trial) -> None:
    stand.wait(3)
    names = _leave(stand)
    is_gone = roll_over(stand.client, latest(stand.client))
    trial.saw("the history begins after they left", is_gone)
    # What a worker remembers goes further back than the database: it has to be another one.
    for pid in stand.workers():
        stand.kill_worker()
        stand.await_workers(without=pid)
    stand.fleet.all("return", names)
    stand.wait(6)
    told = [each for each in stand.fleet.collect() if each["name"] in names]
    trial.saw("they were told of a reset", all(each["counts"]["reset"] for each in told))
