"""The checks before the upgrade."""

from __future__ import annotations

from typing import Any

import pytest

from wsflask.transport.handshake import check_handshake, form_of, origin_is_allowed

GOOD = {
    "REQUEST_METHOD": "GET",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_UPGRADE": "websocket",
    "HTTP_CONNECTION": "Upgrade",
    "HTTP_SEC_WEBSOCKET_VERSION": "13",
    "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"HTTP_UPGRADE": "WebSocket"},
        {"HTTP_CONNECTION": "keep-alive, Upgrade"},
        {"HTTP_CONNECTION": "UPGRADE"},
        {"CONTENT_LENGTH": ""},
        {"CONTENT_LENGTH": "0"},
    ],
)
def test_a_good_handshake_passes(changes: dict[str, str]) -> None:
    assert check_handshake(GOOD | changes) is None


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"REQUEST_METHOD": "POST"}, 405),
        ({"REQUEST_METHOD": "HEAD"}, 405),
        ({"HTTP_UPGRADE": ""}, 426),
        ({"HTTP_UPGRADE": "h2c"}, 426),
        ({"HTTP_CONNECTION": "keep-alive"}, 426),
        ({"HTTP_CONNECTION": "Upgrades"}, 426),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "8"}, 426),
        ({"HTTP_SEC_WEBSOCKET_VERSION": "13, 8"}, 426),
        ({"HTTP_SEC_WEBSOCKET_VERSION": ""}, 426),
        ({"SERVER_PROTOCOL": "HTTP/1.0"}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": ""}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "short"}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ"}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZSE="}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "!!!!" * 6}, 400),
        ({"HTTP_SEC_WEBSOCKET_KEY": "é" * 24}, 400),
        ({"CONTENT_LENGTH": "5"}, 400),
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 400),
    ],
    ids=str,
)
def test_a_malformed_handshake_is_refused(changes: dict[str, str], status: int) -> None:
    refused = check_handshake(GOOD | changes)

    assert refused is not None
    assert refused.status == status
    assert 0 < len(refused.text) <= 200
    assert (refused.headers.get("Sec-WebSocket-Version") == "13") == (status == 426)
    assert (refused.headers.get("Allow") == "GET") == (status == 405)


def test_a_request_that_is_no_handshake_at_all_is_asked_to_upgrade() -> None:
    refused = check_handshake({"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1"})

    assert refused is not None
    assert refused.status == 426


@pytest.mark.parametrize(
    ("offered", "form"),
    [
        (None, "plain"),
        ("", "plain"),
        ("wsflask.v1", "v1"),
        ("chat, wsflask.v1", "v1"),
        ("wsflask.v1 ,chat", "v1"),
        ("wsflask.v2", "plain"),
        ("WSFLASK.V1", "plain"),
        ("xwsflask.v1", "plain"),
    ],
)
def test_the_subprotocol_decides_the_form(offered: str | None, form: str) -> None:
    environ: dict[str, Any] = {} if offered is None else {"HTTP_SEC_WEBSOCKET_PROTOCOL": offered}

    assert form_of(environ) == form


@pytest.mark.parametrize(
    ("origin", "host", "scheme"),
    [
        ("http://ui.example.com", "ui.example.com", "http"),
        ("http://ui.example.com", "ui.example.com:80", "http"),
        ("http://ui.example.com:80", "ui.example.com", "http"),
        ("http://UI.Example.COM", "ui.example.com", "http"),
        ("http://ui.example.com", "UI.example.com", "http"),
        ("http://ui.example.com:8101", "ui.example.com:8101", "http"),
        ("http://127.0.0.1:8101", "127.0.0.1:8101", "http"),
        ("http://[::1]:8101", "[::1]:8101", "http"),
        ("https://ui.example.com", "ui.example.com", "https"),
        ("https://ui.example.com", "ui.example.com:443", "https"),
        pytest.param("https://ui.example.com", "ui.example.com", "http", id="TLS ends in a proxy"),
    ],
)
def test_a_page_of_the_own_host_may_connect(origin: str, host: str, scheme: str) -> None:
    assert origin_is_allowed(origin, host, scheme, None)


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param("http://evil.com", id="another host"),
        pytest.param("http://ui.example.com.evil.com", id="the host as prefix"),
        pytest.param("http://evilui.example.com", id="the host as suffix"),
        pytest.param("http://sub.ui.example.com", id="a sub-domain"),
        pytest.param("http://example.com", id="the parent domain"),
        pytest.param("http://ui.example.com.", id="a trailing dot"),
        pytest.param("http://ui.example.com:8102", id="another port"),
        pytest.param("http://ui.example.com", id="the default port"),
        pytest.param("http://ui.example.com:0", id="port 0"),
        pytest.param("http://ui.example.com:81O1", id="no port"),
        pytest.param("http://ui.example.com@evil.com:8101", id="the host as user"),
        pytest.param("http://evil@ui.example.com:8101", id="a user"),
        pytest.param("http://ui.example.com:8101@evil.com", id="host and port as user"),
        pytest.param("http://evil.com\\@ui.example.com:8101", id="backslash"),
        pytest.param("http://ui.example.com:8101/", id="a trailing slash"),
        pytest.param("http://ui.example.com:8101/path", id="a path"),
        pytest.param("http://ui.example.com:8101?a", id="a query"),
        pytest.param("http://ui.example.com:8101#a", id="a fragment"),
        pytest.param("ftp://ui.example.com:8101", id="another scheme"),
        pytest.param("ws://ui.example.com:8101", id="the scheme of the socket"),
        pytest.param("file://", id="a file"),
        pytest.param("null", id="null"),
        pytest.param("", id="empty"),
        pytest.param("*", id="a star"),
        pytest.param("ui.example.com:8101", id="no scheme"),
        pytest.param("//ui.example.com:8101", id="no scheme but slashes"),
        pytest.param("http://ui.example.com:8101 http://evil.com", id="a list"),
        pytest.param("http://evil.com, http://ui.example.com:8101", id="another list"),
        pytest.param("http://[::1", id="half an address"),
    ],
)
def test_any_other_origin_is_refused(origin: str) -> None:
    assert not origin_is_allowed(origin, "ui.example.com:8101", "http", None)
    assert not origin_is_allowed(origin, "other:8101", "http", ["http://ui.example.com:8101"])
    assert not origin_is_allowed(origin, "other:8101", "http", [])


def test_a_plain_page_may_not_connect_to_a_secure_server() -> None:
    assert not origin_is_allowed("http://ui.example.com", "ui.example.com", "https", None)
    assert not origin_is_allowed("http://ui.example.com", "ui.example.com:443", "https", None)


@pytest.mark.parametrize("host", ["", "@", "evil@ui.example.com", "ui.example.com/x", "a b", "[", ":8101"])
def test_a_strange_host_allows_nobody(host: str) -> None:
    assert not origin_is_allowed("http://ui.example.com", host, "http", None)


def test_a_list_replaces_the_own_host() -> None:
    allowed = ["https://UI.example.com", "http://localhost:3000"]

    assert origin_is_allowed("https://ui.example.com", "api.example.com", "http", allowed)
    assert origin_is_allowed("https://ui.example.com:443", "api.example.com", "http", allowed)
    assert origin_is_allowed("http://localhost:3000", "api.example.com", "http", allowed)
    assert not origin_is_allowed("https://api.example.com", "api.example.com", "https", allowed)
    assert not origin_is_allowed("http://ui.example.com", "api.example.com", "http", allowed)
    assert not origin_is_allowed("http://localhost", "api.example.com", "http", allowed)
