"""The departures desk: its data, its replay, its pages and who may see what on them."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import mongoengine
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.harness import Database
from wsflask.demo import create_app, seed
from wsflask.demo.day import FIRST_START, RESTART, START, Plan, airlines, plans
from wsflask.demo.lease import Lease
from wsflask.demo.models import STATUSES, Airline, Clock, Flight, User, utc
from wsflask.demo.replay import Replay
from wsflask.demo.seeding import USERS
from wsflask.demo.timeline import State, state_at
from wsflask.documents import Notification
from wsflask.errors import ConfigError

NOON = datetime.fromisoformat("2013-11-27T17:00Z")


@pytest.fixture
def app(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The demo on a database with every tenth flight, with its clock stopped."""
    monkeypatch.setattr("wsflask.demo.seeding.plans", lambda: plans()[::10])
    seed()
    Clock.objects.update(speed=0.0)
    app = create_app({"SECRET_KEY": "a key of the tests", "TESTING": True})
    yield app
    app.extensions["wsflask-demo"].stop()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def token(client: FlaskClient, path: str = "/login") -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(path, follow_redirects=True).text)
    assert found
    return found[1]


def sign_in(client: FlaskClient, username: str) -> None:
    form = {"username": username, "password": username, "csrf_token": token(client)}
    assert client.post("/login", data=form).status_code == 303


def post(client: FlaskClient, path: str, **form: str) -> Any:
    return client.post(path, data={**form, "csrf_token": token(client, "/")})


def plan(scheduled: int = 0, departed: int | None = 0, landed: int | None = 90) -> Plan:
    """A flight with its times in minutes after noon."""
    moments = [None if minute is None else NOON + timedelta(minutes=minute) for minute in (scheduled, departed, landed)]
    assert moments[0]
    return Plan("UA1-EWR", "UA", 1, "N1", "EWR", "BOS", "Boston", "C71", "", moments[0], moments[1], moments[2])


def at(minute: int, one: Plan, held: int | None = None) -> State:
    return state_at(one, NOON + timedelta(minutes=minute), held)


def a_flight(**query: Any) -> Flight:
    """A flight that is still to leave, not too soon."""
    found = Flight.objects(status="scheduled", **query).order_by("-scheduled").first()
    assert found
    return found  # type: ignore[no-any-return]


class TestTheDay:
    def test_holds_every_departure_of_the_busiest_day(self) -> None:
        assert len(plans()) == 1014
        assert Counter(one.origin for one in plans()).keys() == {"EWR", "JFK", "LGA"}
        assert sum(one.departed is None for one in plans()) == 35

    def test_names_every_flight_once(self) -> None:
        assert len({one.id for one in plans()}) == 1014
        assert {one.carrier for one in plans()} == airlines().keys()

    def test_has_flights_that_land_after_they_left(self) -> None:
        for one in plans():
            if one.departed and one.landed:
                assert timedelta(minutes=20) < one.landed - one.departed < timedelta(hours=12), one.id

    def test_lies_between_its_start_and_its_end(self) -> None:
        assert min(one.scheduled for one in plans()) > START
        assert max(one.departed for one in plans() if one.departed) < RESTART
        assert START < FIRST_START < RESTART

    def test_has_gates_that_the_form_takes(self) -> None:
        from wsflask.demo.forms import FORMS

        for one in plans():
            assert FORMS["gate"].read(one.gate) == one.gate


class TestTheTimeline:
    def test_a_flight_on_time_is_scheduled_boarding_departed_landed(self) -> None:
        one = plan()

        assert [at(minute, one).status for minute in (-60, -30, 0, 89, 90)] == [
            "scheduled", "boarding", "departed", "departed", "landed",
        ]  # fmt: skip

    def test_a_delay_becomes_known_half_an_hour_at_a_time(self) -> None:
        one = plan(departed=75)

        shown = [(at(minute, one).status, at(minute, one).delay) for minute in (-41, -40, -10, 20, 45, 75)]

        assert shown == [
            ("scheduled", 0), ("delayed", 30), ("delayed", 60), ("delayed", 75), ("boarding", 75), ("departed", 75),
        ]  # fmt: skip

    def test_a_few_minutes_are_no_delay_until_the_flight_has_left(self) -> None:
        one = plan(departed=14)

        assert [at(minute, one).delay for minute in (-30, 0, 14)] == [0, 0, 14]

    def test_an_early_departure_is_no_delay(self) -> None:
        assert at(0, plan(departed=-5)).delay == 0

    def test_a_cancelled_flight_never_boards(self) -> None:
        one = plan(departed=None, landed=None)

        assert [at(minute, one).status for minute in (-76, -75, 0, 600)] == ["scheduled"] + ["cancelled"] * 3

    def test_a_flight_held_by_the_desk_leaves_and_lands_later(self) -> None:
        one = plan()

        assert at(-120, one, held=45) == State("delayed", 45, NOON + timedelta(minutes=45))
        assert at(44, one, held=45).status == "boarding"
        assert at(45, one, held=45).status == "departed"
        assert at(134, one, held=45).landed is None
        assert at(135, one, held=45).landed == NOON + timedelta(minutes=135)

    def test_what_was_late_anyway_does_not_leave_earlier_for_being_held_less(self) -> None:
        assert at(90, plan(departed=90), held=20).delay == 90

    def test_every_flight_of_the_day_goes_through_the_statuses_in_order(self) -> None:
        for one in plans():
            seen = [state_at(one, START + timedelta(minutes=minute)).status for minute in range(0, 1290, 5)]
            order = [STATUSES.index(status) for status in seen]
            assert order == sorted(order), one.id


class TestSeeding:
    def test_fills_an_empty_database(self, database: Database) -> None:
        seed()

        assert Flight.objects.count() == 1014
        assert Airline.objects.count() == 15
        assert User.objects.count() == len(USERS)
        assert {"boarding", "delayed", "departed", "landed"} <= set(Flight.objects.distinct("status"))

    def test_leaves_what_is_there_as_it_is(self, database: Database) -> None:
        seed()
        Flight.objects(id="UA1096-EWR").update(gate="Z9")
        User.objects(username="united").update(active=False)

        seed()

        assert Flight.objects.get(id="UA1096-EWR").gate == "Z9"
        assert not User.objects.get(username="united").active
        assert Flight.objects.count() == 1014

    def test_with_reset_begins_anew(self, database: Database) -> None:
        seed()
        Flight.objects(id="UA1096-EWR").update(gate="Z9")
        Notification(message="late", groups=["airline:UA"]).save()
        Notification(message="of another application", everyone=True).save()

        seed(reset=True)

        assert Flight.objects.get(id="UA1096-EWR").gate != "Z9"
        assert Notification.objects.scalar("message").get() == "of another application"

    def test_stores_no_password_in_plain_text(self, database: Database) -> None:
        seed()

        user = User.objects.get(username="united")
        assert user.has_password("united")
        assert not user.has_password("United")
        assert "united" not in user.password


class TestTheLease:
    def test_has_one_holder(self, database: Database) -> None:
        first, second = Lease("one"), Lease("one")

        assert [first.hold(), second.hold(), first.hold()] == [True, False, True]

    def test_passes_on_when_it_is_given_back(self, database: Database) -> None:
        first, second = Lease("one"), Lease("one")
        first.hold()

        first.release()

        assert second.hold()
        assert not first.hold()

    def test_passes_on_when_its_holder_is_silent(self, database: Database) -> None:
        first, second = Lease("one", seconds=0.0), Lease("one", seconds=60.0)
        first.hold()

        assert _becomes_true(second.hold)
        assert not first.hold()

    def test_is_not_given_back_by_another(self, database: Database) -> None:
        first, second = Lease("one"), Lease("one")
        first.hold()

        second.release()

        assert not second.hold()

    def test_of_another_name_is_another_lease(self, database: Database) -> None:
        assert Lease("one").hold()
        assert Lease("two").hold()


def _becomes_true(question: Any) -> bool:
    deadline = time.monotonic() + 5
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(answer)


class TestTheReplay:
    def test_shows_what_the_timeline_says(self, database: Database) -> None:
        seed()
        now = FIRST_START + timedelta(minutes=90)

        Replay(tell=lambda flight: None).move(now)

        for one in plans():
            flight, state = Flight.objects.get(id=one.id), state_at(one, now)
            assert (flight.status, flight.delay) == (state.status, state.delay), one.id
            assert utc(flight.departed) == state.departed

    def test_writes_nothing_twice(self, database: Database) -> None:
        seed()
        replay = Replay(tell=lambda flight: None)

        assert replay.move(FIRST_START + timedelta(minutes=5)) > 0
        assert replay.move(FIRST_START + timedelta(minutes=5)) == 0

    def test_leaves_the_desks_own_words_alone(self, database: Database) -> None:
        seed()
        Flight.objects.update(remark="Kosher meals short", gate="Z9")

        Replay(tell=lambda flight: None).move(FIRST_START + timedelta(minutes=60))

        assert set(Flight.objects.distinct("remark")) == {"Kosher meals short"}
        assert set(Flight.objects.distinct("gate")) == {"Z9"}

    def test_tells_of_a_long_delay_once(self, database: Database) -> None:
        seed()
        told: list[str] = []
        replays = [Replay(tell=lambda flight: told.append(flight.id)) for _ in range(2)]

        for minute in range(0, 240, 20):
            for replay in replays:
                replay.move(FIRST_START + timedelta(minutes=minute))

        assert told
        assert Counter(told).most_common(1)[0][1] == 1
        assert all(Flight.objects.get(id=one).delay > 60 for one in told)

    def test_tells_of_a_delay_that_the_desk_has_set(self, database: Database) -> None:
        seed()
        told: list[str] = []
        flight = a_flight()
        Flight.objects(id=flight.id).update(held=75)

        Replay(tell=lambda one: told.append(one.id)).move(FIRST_START)

        assert told == [flight.id]

    def test_moves_the_clock_at_its_speed(self, database: Database) -> None:
        seed()
        seconds = iter((100.0, 102.0))
        replay = Replay(tell=lambda flight: None, speed=5, monotonic=lambda: next(seconds))

        replay.step()
        replay.step()

        clock = Clock.objects.get()
        assert (clock.speed, utc(clock.now)) == (5, FIRST_START + timedelta(minutes=10))

    def test_keeps_the_speed_that_the_supervisor_chose(self, database: Database) -> None:
        seed()
        Replay(tell=lambda flight: None, speed=5).step()
        Clock.objects.update(speed=0.5)

        Replay(tell=lambda flight: None, speed=5).step()

        assert Clock.objects.get().speed == 0.5

    def test_begins_the_day_again_when_it_is_over(self, database: Database) -> None:
        seed()
        Clock.objects.update(now=RESTART)
        Flight.objects(id="UA1096-EWR").update(gate="Z9", held=30, delay_told=True)
        Flight.objects(id="US1895-EWR").delete()

        Replay(tell=lambda flight: None).step()

        assert set(Flight.objects.distinct("status")) == {"scheduled"}
        assert Flight.objects.count() == 1014
        flight, clock = Flight.objects.get(id="UA1096-EWR"), Clock.objects.get()
        assert (flight.gate, flight.held, flight.delay_told) == ("C93", None, False)
        assert (utc(clock.now), clock.round) == (START, 2)

    def test_moves_in_one_process_only(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        seed()
        steps: list[str] = []
        replays = {name: Replay(tell=lambda flight: None, tick=0.05) for name in ("first", "second")}
        for name, replay in replays.items():
            monkeypatch.setattr(replay, "step", partial(steps.append, name))

        for replay in replays.values():
            replay.start()
            replay.start()
        _becomes_true(lambda: len(steps) > 3)
        holder = steps[0]
        replays[holder].stop()
        other = "second" if holder == "first" else "first"

        assert set(steps) == {holder}
        assert _becomes_true(lambda: other in steps)
        replays[other].stop()


class TestThePages:
    def test_ask_to_sign_in(self, client: FlaskClient) -> None:
        answer = client.get("/?origin=EWR")

        assert answer.status_code == 302
        assert answer.location.startswith("/login?next=")

    def test_show_the_ready_made_users(self, client: FlaskClient) -> None:
        page = client.get("/login").text

        assert all(username in page for username, _, _ in USERS)

    @pytest.mark.parametrize("form", [{}, {"username": "united"}, {"username": "united", "password": "wrong"}])
    def test_say_why_one_is_not_signed_in(self, client: FlaskClient, form: dict[str, str]) -> None:
        answer = client.post("/login", data={**form, "csrf_token": token(client)})

        assert answer.status_code == 422
        assert 'role="alert"' in answer.text

    def test_do_not_let_in_who_is_not_active(self, client: FlaskClient) -> None:
        User.objects(username="united").update(active=False)

        form = {"username": "united", "password": "united", "csrf_token": token(client)}

        assert client.post("/login", data=form).status_code == 422

    @pytest.mark.parametrize(
        "path", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/\x00", "javascript:alert(1)"]
    )
    def test_lead_nowhere_else_after_signing_in(self, client: FlaskClient, path: str) -> None:
        form = {"username": "united", "password": "united", "csrf_token": token(client)}

        answer = client.post("/login", query_string={"next": path}, data=form)

        assert answer.location == "/"

    def test_lead_back_to_where_one_wanted(self, client: FlaskClient) -> None:
        form = {"username": "united", "password": "united", "csrf_token": token(client)}

        answer = client.post("/login", query_string={"next": "/?status=all"}, data=form)

        assert answer.location == "/?status=all"

    def test_show_flights_before_any_script_runs(self, client: FlaskClient) -> None:
        sign_in(client, "supervisor")

        page = client.get("/?origin=JFK&status=boarding").text

        shown = re.findall(r'<tr role="row" data-id="([^"]+)" data-status="boarding">', page)
        assert set(shown) == {flight.id for flight in Flight.objects(origin="JFK", status="boarding")}

    def test_understand_no_operators_in_a_filter(self, client: FlaskClient) -> None:
        sign_in(client, "supervisor")

        page = client.get("/?origin[$ne]=JFK&carrier=$where&status=%7B%22$ne%22:1%7D").text

        assert f">{Flight.objects(status__in=('scheduled', 'delayed', 'boarding')).count()} flights" in page

    def test_say_that_nothing_fits(self, client: FlaskClient) -> None:
        Flight.objects.delete()
        sign_in(client, "supervisor")

        assert re.search(r'id="nothing">', client.get("/").text)

    def test_name_the_source_of_the_data(self, client: FlaskClient) -> None:
        assert "US Bureau of Transportation Statistics" in client.get("/login").text

    def test_sign_out_by_post_only(self, client: FlaskClient) -> None:
        sign_in(client, "united")

        assert client.get("/logout").status_code == 405
        assert post(client, "/logout").status_code == 303
        assert client.get("/").status_code == 302


class TestRights:
    def test_staff_sees_its_own_airline_only(self, client: FlaskClient) -> None:
        sign_in(client, "united")

        page = client.get("/?carrier=B6&status=all").text

        assert {key[:2] for key in re.findall(r'data-id="([^"]+)"', page)} == {"UA"}

    @pytest.mark.parametrize("path", ["", "/gate", "/remark", "/delete"])
    def test_the_flight_of_another_airline_is_as_one_that_does_not_exist(self, client: FlaskClient, path: str) -> None:
        sign_in(client, "united")
        other = a_flight(carrier="B6")
        ask = (lambda one: post(client, one, value="A1")) if path else client.get

        answer, missing = ask(f"/flights/{other.id}{path}"), ask(f"/flights/B60-EWR{path}")

        assert (answer.status_code, answer.text) == (404, missing.text)
        assert Flight.objects.get(id=other.id).gate == other.gate

    def test_the_crew_remark_is_the_supervisors(self, client: FlaskClient) -> None:
        flight = a_flight(carrier="UA")
        Flight.objects(id=flight.id).update(crew_remark="Captain is ill")

        sign_in(client, "united")
        page = client.get(f"/flights/{flight.id}").text
        answer = post(client, f"/flights/{flight.id}/crew-remark", value="x")

        assert "Captain is ill" not in page
        assert "rew remark" not in page
        assert answer.status_code == 404
        post(client, "/logout")
        sign_in(client, "supervisor")
        assert "Captain is ill" in client.get(f"/flights/{flight.id}").text

    @pytest.mark.parametrize("path", ["/replay", "/flights/{}/delete"])
    def test_only_the_supervisor_runs_the_board(self, client: FlaskClient, path: str) -> None:
        flight = a_flight(carrier="UA")
        sign_in(client, "united")

        assert post(client, path.format(flight.id), speed="20").status_code == 404
        assert Clock.objects.get().speed == 0
        assert Flight.objects(id=flight.id)

    def test_staff_is_in_the_group_of_its_airline(self, database: Database) -> None:
        seed()

        assert User.objects.get(username="united").groups == ["airline:UA"]
        assert User.objects.get(username="supervisor").groups == ["supervisors"]


class TestForms:
    @pytest.fixture(autouse=True)
    def _signed_in(self, client: FlaskClient) -> None:
        sign_in(client, "supervisor")

    @pytest.mark.parametrize(
        ("name", "text", "field", "value"),
        [
            ("gate", " c72 ", "gate", "C72"),
            ("gate", "8-14", "gate", "8-14"),
            ("remark", "  Waiting  for\r\ncrew ", "remark", "Waiting for crew"),
            ("remark", "", "remark", ""),
            ("crew-remark", "<script>alert(1)</script>", "crew_remark", "<script>alert(1)</script>"),
        ],
    )
    def test_save_what_is_right(self, client: FlaskClient, name: str, text: str, field: str, value: str) -> None:
        flight = a_flight()

        answer = post(client, f"/flights/{flight.id}/{name}", value=text)

        assert answer.status_code == 303
        assert Flight.objects.get(id=flight.id)[field] == value
        assert "<script>alert" not in client.get(answer.location).text

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("gate", ""), ("gate", "everywhere"), ("gate", '{"$gt": ""}'), ("gate", "C7\uff11"),
            ("delay", ""), ("delay", "-5"), ("delay", "1.5"), ("delay", "601"), ("delay", "\u0663"),
            ("remark", "x" * 141), ("crew-remark", "x" * 281),
        ],
    )  # fmt: skip
    def test_say_what_is_wrong_and_save_nothing(self, client: FlaskClient, name: str, text: str) -> None:
        flight = a_flight()

        answer = post(client, f"/flights/{flight.id}/{name}", value=text)

        assert answer.status_code == 422
        assert f'id="{name}-hint" role="alert"' in answer.text
        assert 'aria-invalid="true"' in answer.text
        assert Flight.objects.get(id=flight.id).to_mongo() == flight.to_mongo()

    def test_a_delay_shows_at_once(self, client: FlaskClient) -> None:
        flight = a_flight()

        post(client, f"/flights/{flight.id}/delay", value="45")

        shown = Flight.objects.get(id=flight.id)
        assert (shown.status, shown.delay, shown.held) == ("delayed", 45, 45)
        assert shown.estimated - shown.scheduled == timedelta(minutes=45)

    @pytest.mark.parametrize("name", ["gate", "delay"])
    def test_a_flight_that_has_left_keeps_its_gate_and_delay(self, client: FlaskClient, name: str) -> None:
        flight = Flight.objects(status="departed").first()

        assert post(client, f"/flights/{flight.id}/{name}", value="12").status_code == 422

    def test_an_unknown_form_does_not_exist(self, client: FlaskClient) -> None:
        assert post(client, f"/flights/{a_flight().id}/status", value="landed").status_code == 404

    def test_the_supervisor_takes_a_flight_off_the_board(self, client: FlaskClient) -> None:
        flight = a_flight()

        post(client, f"/flights/{flight.id}/delete")

        assert not Flight.objects(id=flight.id)

    def test_the_supervisor_sets_the_speed(self, client: FlaskClient) -> None:
        post(client, "/replay", speed="20")

        assert Clock.objects.get().speed == 20
        assert post(client, "/replay", speed="1e9").status_code == 400


class TestProtection:
    @pytest.mark.parametrize("form", [{}, {"csrf_token": ""}, {"csrf_token": "wrong"}, {"csrf_token": "é"}])
    def test_a_form_without_the_sessions_token_is_refused(self, client: FlaskClient, form: dict[str, str]) -> None:
        sign_in(client, "united")
        flight = a_flight(carrier="UA")

        answer = client.post(f"/flights/{flight.id}/gate", data={**form, "value": "C99"})

        assert answer.status_code == 400
        assert Flight.objects.get(id=flight.id).gate == flight.gate

    def test_no_token_and_no_session_do_not_match_either(self, client: FlaskClient) -> None:
        assert client.post("/login", data={"username": "united", "password": "united"}).status_code == 400

    @pytest.mark.parametrize("path", ["/login", "/", "/nowhere", "/static/base.css", "/wsflask/static/wsflask.js"])
    def test_every_answer_has_a_policy_without_inline_code(self, client: FlaskClient, path: str) -> None:
        with client.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]

        assert "default-src 'none'" in policy
        assert "unsafe" not in policy

    def test_no_page_holds_inline_code(self, client: FlaskClient) -> None:
        sign_in(client, "supervisor")

        for path in ("/", f"/flights/{a_flight().id}"):
            page = client.get(path).text
            assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=", page)

    def test_the_session_cookie_is_kept_from_scripts_and_other_sites(self, client: FlaskClient) -> None:
        cookie = client.get("/login").headers["Set-Cookie"]

        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie

    def test_pages_are_not_kept_by_the_browser(self, client: FlaskClient) -> None:
        assert client.get("/login").headers["Cache-Control"] == "no-store"


class TestTheApplication:
    def test_needs_a_secret_key(self, database: Database) -> None:
        with pytest.raises(ConfigError, match="SECRET_KEY"):
            create_app({})

    def test_needs_a_database(self) -> None:
        mongoengine.disconnect_all()

        with pytest.raises(ConfigError, match="WSFLASK_MONGODB_URI"):
            create_app({"SECRET_KEY": "a key of the tests"})

    @pytest.mark.parametrize("speed", ["fast", "-1", "nan", "121"])
    def test_refuses_a_speed_it_cannot_run_at(self, database: Database, speed: str) -> None:
        with pytest.raises(ConfigError, match="WSFLASK_DEMO_SPEED"):
            create_app({"SECRET_KEY": "a key of the tests", "WSFLASK_DEMO_SPEED": speed})

    def test_starts_nothing_before_the_first_request(self, app: Flask) -> None:
        assert app.extensions["wsflask-demo"]._task is None

    def test_exposes_what_the_desk_shows_and_nothing_else(self, app: Flask) -> None:
        exposures = app.extensions["wsflask"].exposures

        staff, supervisor = (User.objects.get(username=name) for name in ("united", "supervisor"))
        flight = exposures.get("Flight")
        assert {one.name for one in exposures} == {"Flight", "Airline", "Clock"}
        assert "crew_remark" not in flight.fields_for(staff, show_hidden=True)
        assert "crew_remark" in flight.fields_for(supervisor, show_hidden=True)
        assert not flight.access_for(staff).matches({"carrier": "B6"})
        assert flight.access_for(staff).matches({"carrier": "UA"})
        assert flight.access_for(supervisor).matches({"carrier": "B6"})

    def test_tells_the_staff_of_an_airline(self, app: Flask) -> None:
        flight = a_flight(carrier="UA")
        Flight.objects(id=flight.id).update(held=75)

        app.extensions["wsflask-demo"].move(FIRST_START)

        notification = Notification.objects.get()
        assert notification.groups == ["airline:UA", "supervisors"]
        assert notification.category == 30
        assert flight.flight in notification.message
        assert notification.actions[0]["path"] == f"flights/{flight.id}"

    def test_says_so_when_the_database_is_away(self, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
        from pymongo.errors import ServerSelectionTimeoutError

        def fail(*_: Any, **__: Any) -> None:
            raise ServerSelectionTimeoutError("away")

        sign_in(client, "united")
        monkeypatch.setattr("wsflask.demo.views._clock", fail)

        answer = client.get("/")

        assert answer.status_code == 503
        assert "The database does not answer" in answer.text
