"""docs/protocol.md is the contract: its tables are the code's, and its examples are what a real server does."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests import harness
from wsflask.demo import seed
from wsflask.demo.models import Flight
from wsflask.protocol.codes import CLOSE_CODES, ERRORS, RESERVED_CHANNELS, SUBPROTOCOL

PAGE = (harness.ROOT / "docs" / "protocol.md").read_text()
EXAMPLES: list[dict[str, Any]] = [json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)]
REQUESTS = [one for one in EXAMPLES if isinstance(one["payload"], dict) and "action" in one["payload"]]


def example(channel: str, **having: Any) -> dict[str, Any]:
    """Return the first message of the server on the page that has these fields in its payload."""
    for one in EXAMPLES:
        payload = one["payload"]
        fits = not having or (isinstance(payload, dict) and having.items() <= payload.items())
        if one["channel"] == channel and one not in REQUESTS and fits:
            return one
    raise AssertionError(f"no example of {channel} with {having}")


def shape(value: Any) -> Any:
    """Return the names and types of a JSON value."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else type(value).__name__


def test_the_page_lists_every_code_of_an_error() -> None:
    section = PAGE.split("### `error`")[1].split("###")[0]

    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(ERRORS)


def test_the_page_lists_every_close_code() -> None:
    rows = re.findall(r"^\| (\d{4}) \| ([A-Z_]+) \|", PAGE, re.MULTILINE)

    assert {name: int(code) for code, name in rows} == CLOSE_CODES


def test_the_page_names_what_is_reserved() -> None:
    assert SUBPROTOCOL in PAGE
    assert all(f"`{name}`" in PAGE for name in RESERVED_CHANNELS)


def test_every_error_on_the_page_has_the_sentence_of_its_code() -> None:
    errors = [one["payload"] for one in EXAMPLES if one["channel"] == "error"]

    assert errors
    assert all(ERRORS[error["code"]] == error["message"] for error in errors)


@pytest.fixture
def client(
    database: harness.Database, servers: harness.Servers, sockets: harness.Sockets
) -> harness.WebSocketClient:
    seed()
    env = {"WSFLASK_MONGODB_URI": database.uri, "SECRET_KEY": "k" * 32, "WSFLASK_DEMO_SPEED": "0"}
    server = servers.gunicorn("wsgi:app", env=env)
    cookie = harness.login(server.base_url, "supervisor", password="supervisor")
    return sockets.connect(server.ws_url, cookie=cookie)


def test_the_welcome_is_as_on_the_page(client: harness.WebSocketClient) -> None:
    welcome = client.expect("welcome")

    page = example("welcome")
    assert welcome["payload"] == page["payload"]
    assert welcome.keys() == page.keys()


def test_the_greetings_are_shaped_as_on_the_page(client: harness.WebSocketClient) -> None:
    unread = client.expect("notifications")
    clipboard = client.expect("clipboard")

    assert shape(unread["payload"]) == shape(example("notifications")["payload"])
    assert clipboard["payload"] == []


def test_every_request_on_the_page_is_understood(client: harness.WebSocketClient) -> None:
    answers = []
    for request in REQUESTS:
        client.send_text(json.dumps(request))
        answer = client.receive()
        while answer is not None and answer.get("id") != request["id"]:
            answer = client.receive()
        answers.append(answer)

    assert None not in answers
    codes = {answer["payload"]["code"] for answer in answers if answer and answer["channel"] == "error"}
    assert codes == {"not_found"}  # the page's ids are not in this database


def test_a_subscription_goes_as_on_the_page(client: harness.WebSocketClient) -> None:
    ask = next(one for one in REQUESTS if one["payload"]["action"] == "subscribe")
    page = example("documents", state="loaded")

    answer = client.request("documents", ask["payload"])
    rows = [client.expect("documents") for _ in range(answer["payload"]["rows"])]
    Flight.objects(id=rows[0]["payload"]["message"]["_id"]).update_one(set__gate="X1")
    update = client.expect("documents", where=lambda one: one["payload"]["op"] == "U")

    assert shape(answer["payload"]) == shape(page["payload"])
    assert answer["payload"]["state"] == "loaded"
    assert {row["payload"]["op"] for row in rows} == {"L"}
    assert shape(update["payload"]) == shape(example("documents", op="U")["payload"])
