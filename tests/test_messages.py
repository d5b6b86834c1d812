"""Envelopes: what is taken from a client, and the bytes that clients share."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.raw import TEXT, server_frames
from tests.reference.agreement import check_message
from wsflask.errors import Refusal
from wsflask.protocol.codes import CLOSE_CODES, ERRORS, RESERVED_CHANNELS
from wsflask.protocol.messages import PLAIN, V1, Message, error_message, is_channel_name
from wsflask.protocol.requests import Limits, Request, parse

LIMITS = Limits(depth=8, keys=20, string=50)


def refusal_of(text: str, limits: Limits = LIMITS) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse(text, limits)
    return caught.value


def envelope(payload: str) -> str:
    """Return an envelope around a payload in JSON."""
    return f'{{"channel":"echo","payload":{payload}}}'


@pytest.mark.parametrize(
    "payload", [None, True, 0, -1, 2**63 - 1, -(2**63), 1.5, "", "世界 🎉", [], {}, {"a": [1, {"b": None}]}]
)
def test_an_envelope_gives_its_channel_and_its_payload(payload: Any) -> None:
    assert parse(envelope(json.dumps(payload)), LIMITS) == Request("echo", payload)
    assert parse(envelope(json.dumps(payload, ensure_ascii=False)), LIMITS) == Request("echo", payload)


def test_white_space_and_the_order_of_keys_do_not_matter() -> None:
    text = ' { "payload" : 1 , "id" : "7" ,\n "channel" : "echo" } '

    assert parse(text, LIMITS) == Request("echo", 1, "7")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" ", id="white space"),
        pytest.param("{", id="cut"),
        pytest.param('{"channel":"echo","payload":1', id="cut in an object"),
        pytest.param(envelope("1") + "x", id="something behind"),
        pytest.param(envelope("1") * 2, id="two"),
        pytest.param("\ufeff" + envelope("1"), id="byte order mark"),
        pytest.param("\xa0" + envelope("1"), id="a space that is none"),
        pytest.param("{'channel':'echo','payload':1}", id="single quotes"),
        pytest.param(envelope("[1,]"), id="trailing comma"),
        pytest.param(envelope("// no\n1"), id="comment"),
        pytest.param(envelope("NaN"), id="NaN"),
        pytest.param(envelope("Infinity"), id="Infinity"),
        pytest.param(envelope("-Infinity"), id="-Infinity"),
        pytest.param(envelope("1e999"), id="1e999"),
        pytest.param(envelope("-1e999"), id="-1e999"),
        pytest.param(envelope(str(2**64)), id="2**64"),
        pytest.param(envelope(str(2**63)), id="2**63"),
        pytest.param(envelope(str(-(2**63) - 1)), id="-2**63 - 1"),
        pytest.param(envelope("9" * 5000), id="5,000 digits"),
        pytest.param(envelope("01"), id="leading zero"),
        pytest.param(envelope("+1"), id="plus"),
        pytest.param(envelope(".5"), id="no digit before the point"),
        pytest.param(envelope("0x10"), id="hexadecimal"),
        pytest.param(envelope("True"), id="True"),
        pytest.param(envelope('"\t"'), id="a tab in a string"),
        pytest.param(envelope('"\\x41"'), id="an unknown escape"),
        pytest.param(envelope('"\\ud800"'), id="a lone high surrogate"),
        pytest.param(envelope('"\\udc00"'), id="a lone low surrogate"),
        pytest.param(envelope('"\\ud800\\ud800"'), id="two high surrogates"),
        pytest.param(envelope('{"\\ud800":1}'), id="a lone surrogate as key"),
        pytest.param('{"channel":"\\ud800","payload":1}', id="a lone surrogate as channel"),
        pytest.param('{"channel":"echo","payload":1,"id":"\\ud800"}', id="a lone surrogate as id"),
        pytest.param(envelope('{"a":1,"a":2}'), id="a key twice"),
        pytest.param(envelope('{"a":1,"\\u0061":2}'), id="a key twice, once escaped"),
        pytest.param('{"channel":"echo","channel":"other","payload":1}', id="two channels"),
        pytest.param(envelope('[[{"b":{"a":1,"a":1}}]]'), id="a key twice, deep"),
    ],
)
def test_what_is_not_strict_json_is_bad_json(text: str) -> None:
    assert refusal_of(text).code == "bad_json"


def test_a_pair_of_surrogates_is_a_character() -> None:
    assert parse(envelope('"\\ud83c\\udf89"'), LIMITS).payload == "🎉"


def test_keys_that_mean_something_elsewhere_are_data() -> None:
    keys = {"__proto__": 1, "constructor": 2, "$where": 3, "a.b": 4, "": 5}

    assert parse(envelope(json.dumps(keys)), LIMITS).payload == keys


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        "echo",
        [],
        ["echo", 1],
        {},
        {"channel": "echo"},
        {"payload": 1},
        {"channel": None, "payload": 1},
        {"channel": 1, "payload": 1},
        {"channel": "", "payload": 1},
        {"channel": "Echo", "payload": 1},
        {"channel": "echo\n", "payload": 1},
        {"channel": "1echo", "payload": 1},
        {"channel": "_echo", "payload": 1},
        {"channel": "é", "payload": 1},
        {"channel": "e" * 65, "payload": 1},
        {"channel": ["echo"], "payload": 1},
        {"channel": "echo", "payload": 1, "more": 1},
        {"channel": "echo", "payload": 1, "seq": "1"},
        {"channel": "echo", "payload": 1, "id": 1},
        {"channel": "echo", "payload": 1, "id": ""},
        {"channel": "echo", "payload": 1, "id": True},
        {"channel": "echo", "payload": 1, "id": ["1"]},
        {"channel": "echo", "payload": 1, "id": "x" * 65},
        {"channel": "echo", "payload": 1, "id": "é" * 33},
    ],
)
def test_json_that_is_no_envelope_is_a_bad_envelope(value: Any) -> None:
    assert refusal_of(json.dumps(value), Limits(8, 20, 500)).code == "bad_envelope"


@pytest.mark.parametrize("identity", ["1", "x" * 64, "é" * 32, "__proto__"])
def test_a_request_id_has_up_to_64_bytes(identity: str) -> None:
    text = json.dumps({"channel": "echo", "payload": 1, "id": identity})

    assert parse(text, Limits(8, 20, 500)).id == identity


def test_an_id_of_null_is_none() -> None:
    assert parse('{"channel":"echo","payload":1,"id":null}', LIMITS).id is None


def test_a_refused_envelope_carries_its_id_where_it_has_a_good_one() -> None:
    assert refusal_of('{"channel":"NO","payload":1,"id":"7"}').request_id == "7"
    assert refusal_of('{"channel":"echo","payload":1,"id":7}').request_id is None


def test_the_depth_counts_the_envelope_and_one_more_is_too_deep() -> None:
    assert parse(envelope("[" * 7 + "]" * 7), LIMITS)
    assert refusal_of(envelope("[" * 8 + "]" * 8)).code == "too_deep"
    assert refusal_of(envelope('{"a":' * 8 + "1" + "}" * 8)).code == "too_deep"


def test_many_brackets_side_by_side_or_in_strings_are_not_deep() -> None:
    assert parse(envelope("[" + ",".join(["[]"] * 20) + "]"), LIMITS)
    assert parse(envelope('"[[[[[[[[[[{{{{{{"'), LIMITS)
    assert parse(envelope('"\\"[[[[[[[[[[{{{{{{\\\\"'), LIMITS)


def test_a_hundred_thousand_brackets_do_not_exhaust_the_stack() -> None:
    assert refusal_of("[" * 100_000).code == "too_deep"
    assert refusal_of('{"a":' * 100_000).code == "too_deep"


def test_keys_count_in_all_objects_together() -> None:
    two = json.dumps([dict.fromkeys("abcdefghi"), dict.fromkeys("abcdefghi")])
    three = json.dumps([dict.fromkeys("abcdefghi"), dict.fromkeys("abcdefghi"), {"j": 1}])

    assert parse(envelope(two), LIMITS)
    assert refusal_of(envelope(three)).code == "too_big"


@pytest.mark.parametrize("template", ['"{}"', '["{}"]', '{{"{}":1}}', '{{"a":["{}"]}}'])
@pytest.mark.parametrize(("character", "size"), [("x", 1), ("é", 2), ("世", 3), ("🎉", 4)])
def test_a_string_or_key_is_limited_in_bytes_of_utf_8(template: str, character: str, size: int) -> None:
    fits, too_long = character * (48 // size), character * (51 // size + 1)

    assert parse(envelope(template.format(fits)), LIMITS)
    assert refusal_of(envelope(template.format(too_long))).code == "too_big"


@given(st.text(max_size=200))
def test_any_text_is_a_request_or_a_refusal_with_a_known_code(text: str) -> None:
    code = None
    try:
        parse(text, LIMITS)
    except Refusal as refusal:
        code = refusal.code

    assert code is None or code in ERRORS


WORDS = (
    "{", "}", "[", "]", ",", ":", '"a"', '"b"', '"\\ud83c\\udf89"', '"\\udf89"', '"\\u000a"', '"\\x"', '"é世🎉"', '"',
    "1", "-0", "01", "1.", "-1.5e-3", "1e999", "9223372036854775807", "-9223372036854775809", "true", "nul", "NaN", " ",
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
    | st.lists(st.sampled_from(WORDS), max_size=8).map(lambda words: envelope(f"[{','.join(words)}]"))
)
def test_of_any_text_a_slow_reader_of_the_rfc_makes_the_same(text: str) -> None:
    check_message(text, Limits(depth=4, keys=4, string=10))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=10),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=8,
    )
)  # fmt: skip
def test_every_json_value_comes_through_unchanged(value: Any) -> None:
    assert parse(envelope(json.dumps(value)), Limits(50, 1000, 1000)).payload == value


@pytest.mark.parametrize("name", ["a", "echo", "a.b-c_9", "a" * 64])
def test_a_channel_name_starts_with_a_small_letter(name: str) -> None:
    assert is_channel_name(name)


@pytest.mark.parametrize("name", ["", "A", "9", ".a", "a b", "a/b", "a\n", "a" * 65, None, 1, b"a"])
def test_other_names_are_none(name: object) -> None:
    assert not is_channel_name(name)


def test_a_plain_message_is_exactly_channel_and_payload() -> None:
    message = Message("echo", {"a": 1}, seq="9", id="7")

    assert message.text(PLAIN) == b'{"channel":"echo","payload":{"a":1}}'


def test_a_v1_message_carries_id_and_position_where_it_has_them() -> None:
    assert Message("echo", 1).text(V1) == b'{"channel":"echo","payload":1}'
    assert Message("echo", 1, seq="9").text(V1) == b'{"channel":"echo","payload":1,"seq":"9"}'
    assert Message("echo", 1, seq="9", id='"').text(V1) == b'{"channel":"echo","payload":1,"id":"\\"","seq":"9"}'


def test_a_payload_given_as_json_goes_out_as_it_is() -> None:
    assert Message("echo", payload_json=b'{ "a" : 1.0 }').text(PLAIN) == b'{"channel":"echo","payload":{ "a" : 1.0 }}'


def test_a_message_is_framed_once_for_each_form() -> None:
    message = Message("echo", "x" * 70_000, seq="1")

    plain, v1 = message.frame(PLAIN), message.frame(V1)

    assert message.frame(PLAIN) is plain
    assert message.frame(V1) is v1
    assert server_frames(plain) == ([(TEXT, message.text(PLAIN))], b"")
    assert server_frames(v1) == ([(TEXT, message.text(V1))], b"")


def test_an_error_is_its_code_and_a_fixed_sentence() -> None:
    for code, sentence in ERRORS.items():
        assert json.loads(error_message(code, "7").text(V1)) == {
            "channel": "error",
            "payload": {"code": code, "message": sentence},
            "id": "7",
        }


def test_the_codes_of_the_wire_are_these() -> None:
    codes = (
        "bad_json bad_envelope unknown_channel bad_action bad_data too_big too_deep forbidden not_found conflict "
        "rate_limited unavailable internal"
    )

    assert " ".join(ERRORS) == codes
    assert {code for code in CLOSE_CODES.values() if code >= 4000} == {4001, 4002, 4003, 4004, 4501, 4503, 4504, 4508}
    assert set(RESERVED_CHANNELS) == {"welcome", "error", "goodbye", "ping", "pong", "stream", "health"}
