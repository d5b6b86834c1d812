"""Who is here, without a database: rosters and seats in random games against a model, leases by observation."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from typing import Any

import pytest

from wsflask.errors import Refusal
from wsflask.services.presence.asking import Limits, parse_join, parse_list, parse_update
from wsflask.services.presence.leases import Beat, Leases
from wsflask.services.presence.roster import Roster
from wsflask.services.presence.seats import Seats
from wsflask.services.presence.store import Entry, Key

LIMITS = Limits(1024)


def entry(room: str, user: str, tab: str, *, process: str = "p", about: str = "{}", meta: str = "{}") -> Entry:
    return Entry((room, user, tab), process, about, meta)


def news(roster: Roster, most: int = 1000) -> list[Any]:
    return [json.loads(payload) for room, told in roster.news() for payload in told.payloads(room, most)]


def page(roster: Roster, room: str, most: int = 1000, after: str | None = None) -> Any:
    return json.loads(b"{%s}" % roster.page(room, most, after))


class Client:
    """What one in the room knows, by the messages alone."""

    def __init__(self, roster: Roster, room: str, most: int) -> None:
        self.room = room
        self.members: dict[str, Any] = {}
        self.roster, self.most = roster, most
        self.next: Any = True

    def ask(self) -> None:
        """Ask for the next page, if there is one."""
        if self.next is not None:
            found = page(self.roster, self.room, self.most, None if self.next is True else self.next)
            self.next = found["next"]
            self.members.update((each["user"], each) for each in found["members"])

    def read_on(self) -> None:
        """Ask for all further pages."""
        while self.next is not None:
            self.ask()

    def hear(self, payloads: list[Any]) -> None:
        for payload in payloads:
            if payload["room"] == self.room:
                for each in payload["joined"]:
                    assert self.next is not None or each["user"] not in self.members, "joined twice"
                for each in payload["changed"]:
                    assert self.next is not None or each["user"] in self.members, "changed before he joined"
                for each in [*payload["joined"], *payload["changed"]]:
                    self.members[each["user"]] = each
                for user in payload["left"]:
                    assert self.next is not None or user in self.members, "left before he joined"
                    self.members.pop(user, None)


def tabs_in(room: str, entries: dict[Key, Entry]) -> dict[str, dict[str, Any]]:
    tabs: dict[str, dict[str, Any]] = {}
    for (name, user, tab), kept in entries.items():
        if name == room:
            tabs.setdefault(user, {})[tab] = json.loads(kept.meta)
    return tabs


@pytest.mark.parametrize("seed", range(40))
def test_a_client_that_reads_pages_and_news_knows_who_is_here(seed: int) -> None:
    chance = random.Random(seed)
    roster, model = Roster(), dict[Key, Entry]()
    rooms, users, tabs = ["", "a"], [f"u{n}" for n in range(9)], ["1", "2", "3"]
    clients: list[Client] = []

    for _ in range(400):
        key = chance.choice(rooms), chance.choice(users), chance.choice(tabs)
        act = chance.random()
        if act < 0.4:
            made = entry(*key, process=chance.choice("pq"), meta=chance.choice(["{}", '{"a":1}']))
            roster.put(made)
            model[key] = made
        elif act < 0.7:
            roster.remove(key)
            model.pop(key, None)
        elif act < 0.73:
            model = {k: e for k, e in model.items() if chance.random() < 0.7}
            roster.replace(model.values())
        elif act < 0.8:
            clients.append(Client(roster, chance.choice(rooms), chance.randint(1, 4)))
            clients[-1].ask()
        elif act < 0.9:
            for client in clients:
                client.ask()
        else:
            told = news(roster, chance.randint(1, 3))
            for client in clients:
                client.hear(told)

    told = news(roster)
    for client in clients:
        client.hear(told)
        client.read_on()
        assert {user: each["tabs"] for user, each in client.members.items()} == tabs_in(client.room, model)
    assert clients
    assert not roster.has_news


def test_who_comes_and_goes_between_two_messages_is_not_told() -> None:
    roster = Roster()
    roster.put(entry("", "ada", "1"))
    news(roster)

    roster.remove(("", "ada", "1"))
    roster.put(entry("", "ada", "1", process="q"))
    roster.put(entry("", "bob", "1"))
    roster.remove(("", "bob", "1"))

    assert news(roster) == []


def test_another_worker_alone_is_no_news() -> None:
    roster = Roster()
    roster.put(entry("", "ada", "1"))
    news(roster)

    roster.put(entry("", "ada", "1", process="q"))

    assert not roster.has_news
    assert roster.process_of(("", "ada", "1")) == "q"


def test_a_user_leaves_with_his_last_tab() -> None:
    roster = Roster()
    for tab in "123":
        roster.put(entry("", "ada", tab))
    assert news(roster)[0]["joined"] == [{"user": "ada", "about": {}, "tabs": {"1": {}, "2": {}, "3": {}}}]

    roster.remove(("", "ada", "1"))
    roster.remove(("", "ada", "3"))
    assert [(told["changed"][0]["tabs"], told["left"]) for told in news(roster)] == [({"2": {}}, [])]

    roster.remove(("", "ada", "2"))
    assert [told["left"] for told in news(roster)] == [["ada"]]


def test_of_many_who_come_at_once_each_message_tells_some() -> None:
    roster = Roster()
    for number in range(250):
        roster.put(entry("", f"u{number}", "1"))

    assert [len(told["joined"]) for told in news(roster, 100)] == [100, 100, 50]


# --- seats


class Wire:
    """As much of a connection as a seat knows."""

    def __init__(self, session: str) -> None:
        self.identity = SimpleNamespace(session_id=session)


def wire(session: str = "s") -> Any:
    return Wire(session)


KEY: Key = ("", "ada", "1")


def test_a_tab_that_is_back_in_time_costs_no_write() -> None:
    seats = Seats(5.0, 20)
    first, second = wire(), wire()
    assert seats.sit(first, KEY, "{}", "{}") == [KEY]

    assert seats.disconnected(first, 100.0, is_final=False) == []
    assert seats.expire(104.9) == []
    assert seats.sit(second, KEY, "{}", "{}") == []

    assert seats.expire(1000.0) == []


def test_a_tab_that_is_not_back_in_time_is_given_up_once() -> None:
    seats = Seats(5.0, 20)
    ws = wire()
    seats.sit(ws, KEY, "{}", "{}")
    seats.disconnected(ws, 100.0, is_final=False)

    assert seats.expire(105.0) == [KEY]
    assert seats.expire(106.0) == []
    assert seats.get(KEY) is None


def test_after_a_sign_out_nobody_is_awaited() -> None:
    seats = Seats(5.0, 20)
    here, gone = wire("s1"), wire("s1")
    seats.sit(here, KEY, "{}", "{}")
    seats.sit(gone, ("", "ada", "2"), "{}", "{}")
    seats.disconnected(gone, 100.0, is_final=False)

    assert seats.disconnected(here, 100.0, is_final=True) == [KEY]
    assert seats.sessions_ended({"s2"}) == []
    assert seats.sessions_ended({"s1"}) == [("", "ada", "2")]
    assert seats.all_keys() == []


def test_the_older_connection_of_a_tab_takes_nothing_with_it() -> None:
    seats = Seats(5.0, 20)
    older, newer = wire(), wire()
    seats.sit(older, KEY, "{}", "{}")
    seats.sit(newer, KEY, "{}", "{}")

    assert seats.disconnected(older, 100.0, is_final=True) == []
    assert seats.expire(1000.0) == []
    assert seats.audience("") == [newer]


def test_a_tab_with_another_name_leaves_the_first() -> None:
    seats = Seats(5.0, 20)
    ws = wire()
    seats.sit(ws, KEY, "{}", "{}")

    assert seats.sit(ws, ("", "ada", "2"), "{}", "{}") == [KEY, ("", "ada", "2")]
    assert seats.all_keys() == [("", "ada", "2")]


def test_a_connection_is_in_so_many_rooms_at_most() -> None:
    seats = Seats(5.0, 2)
    ws = wire()
    for room in ("a", "b", "a"):
        seats.sit(ws, (room, "ada", "1"), "{}", "{}")

    with pytest.raises(Refusal, match="too_big"):
        seats.sit(ws, ("c", "ada", "1"), "{}", "{}")


def test_of_one_user_not_too_many_tabs_are_awaited() -> None:
    seats = Seats(5.0, 20)
    given_up = []
    for number in range(120):
        ws = wire()
        seats.sit(ws, ("", "ada", str(number)), "{}", "{}")
        given_up += seats.disconnected(ws, 100.0 + number / 1000, is_final=False)

    assert given_up == [("", "ada", str(number)) for number in range(20)]


def test_who_was_given_up_while_the_database_was_away_is_awaited_again() -> None:
    seats = Seats(5.0, 20)
    ws = wire()
    seats.sit(ws, KEY, "{}", "{}")
    seats.disconnected(ws, 100.0, is_final=False)
    gone = seats.expire(105.0)

    seats.not_written(gone, 110.0)

    assert seats.get(KEY) is not None
    assert seats.expire(114.9) == []
    assert seats.expire(115.0) == [KEY]
    seats.written([KEY])
    seats.not_written([KEY], 116.0)
    assert seats.get(KEY) is None


def test_who_is_given_up_for_others_that_are_awaited_again_is_told_too() -> None:
    seats = Seats(5.0, 150)
    ws = wire()
    stored = {key for n in range(150) for key in seats.sit(ws, (str(n), "ada", "1"), "{}", "{}")}
    gone = seats.disconnected(ws, 100.0, is_final=False)

    told = {*gone, *seats.not_written(gone, 101.0), *seats.expire(200.0)}

    assert told == stored


class Model:
    """Who has which seat, as plainly as it can be said."""

    def __init__(self) -> None:
        self.rooms: dict[Any, dict[str, Key]] = {}
        self.owner: dict[Key, Any] = {}
        self.meta: dict[Key, str] = {}
        self.until: dict[Key, float] = {}

    def drop(self, key: Key) -> None:
        del self.owner[key], self.meta[key]
        self.until.pop(key, None)

    def expire(self, now: float) -> None:
        for key in [key for key, deadline in self.until.items() if deadline <= now]:
            self.drop(key)

    def sit(self, ws: Any, key: Key, meta: str) -> None:
        former = self.rooms.setdefault(ws, {}).get(key[0], key)
        if former != key and self.owner.get(former) is ws:
            self.drop(former)
        self.rooms[ws][key[0]] = key
        self.owner[key], self.meta[key] = ws, meta
        self.until.pop(key, None)

    def end(self, ws: Any, until: float | None) -> None:
        for key in self.rooms.pop(ws).values():
            if self.owner.get(key) is ws and until is None:
                self.drop(key)
            elif self.owner.get(key) is ws:
                self.owner[key], self.until[key] = None, until or 0.0


@pytest.mark.parametrize("seed", range(40))
def test_the_store_is_told_of_whatever_changes(seed: int) -> None:
    """A store that only hears the keys that were returned, and looks at the seats then, has what the model has."""
    chance = random.Random(seed)
    seats, model, now = Seats(3.0, 20), Model(), 0.0
    store: dict[Key, str] = {}

    for _ in range(500):
        now += chance.random()
        told = seats.expire(now)
        model.expire(now)
        act = chance.random()
        ws = chance.choice(list(model.rooms) or [wire()])
        if act < 0.5 or not model.rooms:
            ws = chance.choice([ws, wire()])
            key = (chance.choice("ab"), chance.choice(["ada", "bob"]), chance.choice("12"))
            meta = chance.choice(["{}", '{"a":1}'])
            told += seats.sit(ws, key, "{}", meta)
            model.sit(ws, key, meta)
        elif act < 0.7:
            for room in seats.rooms_of(ws):
                told += seats.rise(ws, room)
            model.end(ws, None)
        else:
            told += seats.disconnected(ws, now, is_final=False)
            model.end(ws, now + 3.0)
        for each in told:
            seat = seats.get(each)
            if seat is None:
                store.pop(each, None)
            else:
                store[each] = seat.meta
        assert store == model.meta
        assert set(seats.all_keys()) == set(model.meta)


# --- leases


def test_a_lease_is_over_when_it_was_seen_unchanged_for_its_patience() -> None:
    leases = Leases(4.0)
    over = {}
    for second in range(0, 20, 2):
        living = Beat(second, 8.0)
        over[second] = leases.look({"dead": Beat(1, 8.0), "living": living}, float(second))

    assert [second for second, names in over.items() if names] == [8, 10, 12, 14, 16, 18]
    assert over[8] == ["dead"]


def test_nobody_is_judged_by_who_could_not_renew_himself() -> None:
    leases = Leases(4.0)
    for second in range(0, 8, 2):
        leases.look({"other": Beat(1, 8.0)}, float(second))

    leases.interrupt()

    assert leases.look({"other": Beat(1, 8.0)}, 8.0) == []
    assert leases.look({"other": Beat(1, 8.0)}, 12.0) == []
    assert leases.look({"other": Beat(1, 8.0)}, 16.0) == ["other"]


def test_who_was_frozen_has_observed_nothing_meanwhile() -> None:
    leases = Leases(4.0)
    leases.look({"other": Beat(1, 8.0)}, 0.0)

    assert leases.look({"other": Beat(1, 8.0)}, 3600.0) == []


# --- what clients ask


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, {"room": 1, "tab": "1"}, {"room": "a"}, {"room": "a", "tab": ""}, {"room": "a", "tab": 1},
        {"room": "a b", "tab": "1"}, {"room": "a\n", "tab": "1"}, {"room": "a" * 129, "tab": "1"},
        {"room": "", "tab": "x" * 65}, {"room": "", "tab": "1\n"}, {"room": "", "tab": "1", "meta": []},
        {"room": "", "tab": "1", "meta": None}, {"room": "ä", "tab": "1"},
    ],
)  # fmt: skip
def test_a_join_that_is_none_is_refused(data: Any) -> None:
    with pytest.raises(Refusal, match="bad_data"):
        parse_join(data, LIMITS)


def test_metadata_are_bounded() -> None:
    assert parse_update({"room": "a", "meta": {"a": "x" * 1016}}, LIMITS)[1] == '{"a":"%s"}' % ("x" * 1016)
    with pytest.raises(Refusal, match="too_big"):
        parse_update({"room": "a", "meta": {"a": "x" * 1017}}, LIMITS)


def test_a_page_begins_behind_a_user() -> None:
    assert parse_list({"room": "flight:UA1"}) == ("flight:UA1", None)
    assert parse_list({"room": "", "after": "ada\n"}) == ("", "ada\n")
    with pytest.raises(Refusal, match="bad_data"):
        parse_list({"room": "", "after": 1})
