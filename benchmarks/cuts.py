"""Every connection cut every two seconds: what arrives, with wsflask and beside it: python -m benchmarks.cuts."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass

import click

from tests.faults.models import groups_of
from tests.faults.rows import load_rows
from tests.faults.stand import Load, Needs, Stand
from tests.faults.table.network import harm
from tests.faults.trial import Trial
from tests.harness import ROOT, Servers, require_program
from wsflask.testing import Proxy
from wsflask.testing.deliveries import Tab, Verdict, Written, judge
from wsflask.testing.talking import TalkingChild

#: Seconds in which all come back after the last cut, and what is on its way arrives.
_CALM = 12.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one contender."""

    name: str
    owed: int
    verdict: Verdict
    cuts: int
    connections: int

    @property
    def share(self) -> float:
        """Percent of what should have surfaced that did."""
        return 100 * (1 - len(self.verdict.lost) / self.owed) if self.owed else 0.0


def _owed(written: list[Written], tabs: list[Tab], until: float) -> int:
    return sum(
        each.outcome == "ok" and each.is_for(tab.user) and each.began > tab.since and each.ended < until
        for tab in tabs
        for each in written
    )


def _wsflask(users: int, rate: float, seconds: float, seed: int) -> Outcome:
    load_rows()
    load = Load(users, 2, notifications=rate, publications=0, commands=0, items=0, nodes=1)
    with Stand(Needs(proxy=True), load, seed, _say) as stand:
        stand.wait(2)
        cuts, _ = harm(stand.proxy, seconds)
        until = time.monotonic()
        stand.rest(Trial("cuts", False, seed, _say))
        told, written = stand.fleet.collect(), stand.writers.written("notifications")
        tabs = [Tab(each["name"], each["user"], each["since"], each["arrivals"]) for each in told]
        verdict = judge(written, tabs, until=until)
        connections = sum(each["counts"]["opened"] for each in told)
    return Outcome("wsflask", _owed(written, tabs, until), verdict, cuts, connections)


def _flask_socketio(users: int, rate: float, seconds: float, seed: int) -> Outcome:
    names = [f"user{number}" for number in range(users)]
    with Servers() as servers:
        server = servers.gunicorn("benchmarks.peers.flask_socketio_rooms:app")
        node = require_program("node")
        with Proxy(server.port, seed=seed) as proxy:
            clients = TalkingChild([node, "benchmarks/peers/socketio_clients.mjs"], cwd=ROOT)
            try:
                clients.ask(do="open", url=f"http://127.0.0.1:{proxy.port}", users=[*names, *names])
                while clients.ask(do="connected") < 2 * users:
                    time.sleep(0.1)
                written: list[Written] = []
                over = threading.Event()
                arguments = (server.base_url, names, rate, seed, written, over)
                writer = threading.Thread(target=_write, args=arguments)
                writer.start()
                time.sleep(2)
                cuts, _ = harm(proxy, seconds)
                until = time.monotonic()
                over.set()
                writer.join()
                time.sleep(_CALM)
                told = clients.ask(do="collect")
            finally:
                clients.stop()
    tabs = [Tab(each["name"], each["user"], each["since"], each["surfaced"]) for each in told]
    verdict = judge(written, tabs, until=until)
    connections = sum(each["connects"] for each in told)
    return Outcome("Flask-SocketIO", _owed(written, tabs, until), verdict, cuts, connections)


def _write(
    base_url: str, names: list[str], rate: float, seed: int, written: list[Written], over: threading.Event
) -> None:
    rng, due, number = random.Random(seed), time.monotonic(), 0
    while not over.is_set():
        due += rng.uniform(0.5, 1.5) / rate
        time.sleep(max(due - time.monotonic(), 0))
        number += 1
        to, users = _recipients(rng, names)
        token, began = f"n{number}", time.monotonic()
        body = json.dumps({"to": to, "token": token}).encode()
        request = urllib.request.Request(f"{base_url}/notify", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(request, timeout=10).close()
        written.append(Written(token, "a", users, "ok", began, time.monotonic()))


def _recipients(rng: random.Random, names: list[str]) -> tuple[str, frozenset[str]]:
    """Draw a room and who is in it, as often one user, a team or everyone as the writers of the fault suite do."""
    drawn = rng.random()
    if drawn < 0.01:
        return "everyone", frozenset(names)
    if drawn < 0.06:
        team = f"team{rng.randrange(10)}"
        return team, frozenset(name for number, name in enumerate(names) if team in groups_of(number))
    user = rng.choice(names)
    return user, frozenset([user])


_CONTENDERS = {"wsflask": _wsflask, "flask-socketio": _flask_socketio}


@click.command()
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--users", default=100, show_default=True, help="Each with two tabs.")
@click.option("--rate", default=50.0, show_default=True, help="Notifications a second.")
@click.option("--seed", type=int)
@click.option("--beside", type=click.Choice(["flask-socketio"]), help="Do the same to this one, too.")
def main(*, minutes: float, users: int, rate: float, seed: int | None, beside: str | None) -> None:
    """Cut every connection every two seconds, at any byte, and count what arrives."""
    seed = random.SystemRandom().randrange(1 << 30) if seed is None else seed
    _say(f"seed {seed}")
    outcomes = []
    for name in ("wsflask", *([beside] if beside else [])):
        _say(f"{name}: {minutes:g} minutes")
        outcomes.append(_CONTENDERS[name](users, rate, 60 * minutes, seed))
    click.echo("| | cuts | connections | should surface | did | lost | twice | out of order |")
    click.echo("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for each in outcomes:
        verdict = each.verdict
        wrong = f"{len(verdict.lost)} | {len(verdict.twice)} | {len(verdict.order)}"
        click.echo(f"| {each.name} | {each.cuts} | {each.connections} | {each.owed} | {each.share:.2f} % | {wrong} |")
    ours = outcomes[0].verdict
    pairs = [f"{each.name.lower()}={each.share:.2f}" for each in outcomes]
    click.echo(" ".join([*pairs, f"seed={seed}", f"minutes={minutes:g}"]))
    sys.exit(not (outcomes[0].owed and ours.is_clean))


def _say(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


if __name__ == "__main__":
    main()
