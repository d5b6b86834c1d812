"""Users log out, are deactivated, deleted, get other roles."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable

from ..models import REGIONS, user_name
from ..rows import row
from ..stand import Stand
from ..trial import Trial

_SIGNED_OUT = 4501


@row(
    "people",
    "logout, deactivation, deletion, role change",
    "closed, or rows and fields changed, within 1 s in every worker",
)
def change(stand: Stand, trial: Trial) -> None:
    people = stand.database["faults_person"]
    # Users of their own, with tabs in both workers; they are gone afterwards.
    first = stand.load.users
    names = [user_name(first + number) for number in range(4)]
    people.insert_many([{"_id": name, "regions": [REGIONS[0]], "teams": [], "active": True} for name in names])
    for number in range(4):
        options = {"commands": False, "regions": [REGIONS[0]]}
        stand.fleet.open([stand.fleet.tab(first + number, tab, stand.port, **options) for tab in range(6)])
    stand.wait(2)

    def log_out() -> None:
        headers = {"Cookie": stand.fleet.cookie(first), "Origin": stand.server.base_url}
        urllib.request.urlopen(
            urllib.request.Request(f"{stand.server.base_url}/logout", b"", headers), timeout=10
        ).close()

    _closed(stand, trial, "logout", names[0], log_out)
    _closed(stand, trial, "deactivation", names[1],
            lambda: people.update_one({"_id": names[1]}, {"$set": {"active": False}}))  # fmt: skip
    _closed(stand, trial, "deletion", names[2], lambda: people.delete_one({"_id": names[2]}))
    tabs = [name for name in stand.fleet.names if name.startswith(f"{names[3]}/")]
    # Rows that the load leaves alone: there is always something to show.
    items = [{"_id": -10 - number, "region": REGIONS[number], "version": 1, "text": ""} for number in range(2)]
    stand.database["faults_item"].insert_many(items)
    stand.wait(1)
    trial.saw(f"the fourth user's tabs showed rows of {REGIONS[0]}", _shown(stand, tabs) == {(REGIONS[0],)})
    began = time.monotonic()
    stand.set_regions(names[3], [REGIONS[1]])
    while _shown(stand, tabs) != {(REGIONS[1],)} and time.monotonic() < began + 5:
        stand.wait(0.02)
    trial.measure("role change: other rows after", time.monotonic() - began, at_most=1.0)
    stand.database["faults_item"].delete_many({"_id": {"$in": [each["_id"] for each in items]}})
    stand.fleet.close(tabs)


def _shown(stand: Stand, tabs: list[str]) -> set[tuple[str, ...]]:
    """Return of what regions these tabs show rows."""
    return {tuple(sorted(each["regions"])) for each in stand.fleet.rest() if each["name"] in tabs}


def _closed(stand: Stand, trial: Trial, what: str, user: str, act: Callable[[], object]) -> None:
    tabs = [name for name in stand.fleet.names if name.startswith(f"{user}/")]
    began = time.monotonic()
    act()
    stand.wait(1.5)
    told = [each for each in stand.fleet.collect() if each["name"] in tabs]
    ends = [[when - began for when, state, code, _ in each["states"] if state == "closed" and code == _SIGNED_OUT]
            for each in told]  # fmt: skip
    trial.saw(f"{what}: {sum(map(bool, ends))} of {len(tabs)} tabs were closed with {_SIGNED_OUT}", all(ends))
    trial.measure(f"{what}: closed after", max((each[0] for each in ends if each), default=float("inf")), at_most=1.0)
    stand.fleet.close(tabs)
