"""Clients join while very much changes."""

from __future__ import annotations

from ..rows import row
from ..stand import Stand
from ..trial import Trial

#: Share of the changes a second that is called as many.
_ENOUGH = 0.9


@row("joining", "joining while 1,000 changes/s run", "rows equal the query, 200 times of 200")
def join(stand: Stand, trial: Trial) -> None:
    count, rate = (20, 200.0) if trial.is_short else (200, 1000.0)
    stand.writers.write(items=rate, notifications=0, publications=0)
    stand.fleet.drive(0)
    before = stand.writers.count("items")
    stand.wait(1)
    users = stand.load.users
    tabs = [stand.fleet.tab(n % users, 10 + n // users, stand.port, commands=False) for n in range(count)]
    seconds = 8.0 if trial.is_short else 60.0
    stand.fleet.open(tabs, every=stand.load.nodes * seconds / count, is_awaited=False)
    stand.wait(seconds + 1)
    changes = (stand.writers.count("items") - before) / (seconds + 2)
    stand.writers.write(items=0)
    stand.fleet.await_ready(timeout=30)
    trial.saw(f"{count} tabs joined while {changes:.0f} changes a second were written", changes > rate / 2)
    if changes < rate * _ENOUGH:
        trial.note(f"{rate:g} changes a second were wanted: the writers, the database and all clients share the cores")
