"""The names and codes of the wire are the same in Python and in JavaScript."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests import harness
from wsflask.protocol import codes
from wsflask.protocol.messages import is_channel_name

PROTOCOL = harness.ROOT / "static" / "wsflask" / "protocol.js"

#: Regular expressions have no JSON: they go as their source.
_DUMP = """
const names = await import(process.argv[1]);
process.stdout.write(JSON.stringify(names, (_, value) => value instanceof RegExp ? value.source : value));
"""


@pytest.fixture(scope="module")
def javascript() -> dict[str, Any]:
    """Return what protocol.js exports."""
    command = [harness.require_program("node"), "--input-type=module", "-e", _DUMP, PROTOCOL.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    exports: dict[str, Any] = json.loads(done.stdout)
    return exports


def test_the_subprotocol_has_one_name(javascript: dict[str, Any]) -> None:
    assert javascript["SUBPROTOCOL"] == codes.SUBPROTOCOL


def test_the_reserved_channels_are_the_same(javascript: dict[str, Any]) -> None:
    assert javascript["RESERVED"] == {name: name for name in codes.RESERVED_CHANNELS}


def test_the_error_codes_are_the_same_in_the_same_order(javascript: dict[str, Any]) -> None:
    assert javascript["ERROR_CODES"] == list(codes.ERRORS)


def test_the_codes_that_the_client_adds_are_none_of_the_server(javascript: dict[str, Any]) -> None:
    assert not javascript["LOCAL_ERRORS"].keys() & codes.ERRORS.keys()


def test_the_close_codes_are_the_same(javascript: dict[str, Any]) -> None:
    assert javascript["CLOSE_CODES"] == codes.CLOSE_CODES


@pytest.mark.parametrize("name", ["NOTIFICATIONS", "CLIPBOARD", "DOCUMENTS", "PRESENCE"])
def test_the_channels_of_the_services_are_channel_names(javascript: dict[str, Any], name: str) -> None:
    assert is_channel_name(javascript[name])


def test_a_channel_is_called_the_same_on_both_sides(javascript: dict[str, Any]) -> None:
    assert javascript["CHANNEL_NAME"] == "^[a-z][a-z0-9_.-]{0,63}$"
