"""Values of MongoDB as a browser reads them."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import re
import uuid
from datetime import UTC
from typing import Any

import pytest
from bson import SON, Binary, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from wsflask.encoding import dumps, iso, to_json_value

OID = ObjectId("585a88b208b199f61004d968")
NOON = datetime.datetime(2016, 12, 21, 14, 50, 42, tzinfo=UTC)


class Colour(enum.Enum):
    RED = 1
    BLUE = OID


class Size(enum.StrEnum):
    LARGE = "L"


class Rank(enum.IntEnum):
    FIRST = 1


class Loud(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (7, 7),
        (2**53 - 1, 2**53 - 1),
        (-(2**53) + 1, -(2**53) + 1),
        (2**53, str(2**53)),
        (2**70, str(2**70)),
        (-(2**60), str(-(2**60))),
        (Int64(5), 5),
        (Int64(2**60), str(2**60)),
        (1.5, 1.5),
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        ("text", "text"),
        (Loud("text"), "text"),
        (OID, "585a88b208b199f61004d968"),
        (NOON, "2016-12-21T14:50:42Z"),
        (datetime.date(2016, 12, 21), "2016-12-21"),
        (decimal.Decimal("1.10"), "1.10"),
        (Decimal128("1.10"), "1.10"),
        (b"\0\xff", "AP8="),
        (bytearray(b"\0\xff"), "AP8="),
        (Binary(b"\0\xff", 5), "AP8="),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, 1),
        (Colour.BLUE, str(OID)),
        (Size.LARGE, "L"),
        (Rank.FIRST, 1),
        (DBRef("flights", OID), str(OID)),
        (Timestamp(1482331842, 1), "2016-12-21T14:50:42Z"),
        (Regex("^a", 0), "^a"),
        (re.compile("^a"), "^a"),
        (MinKey(), None),
        (MaxKey(), None),
        ((1, 2), [1, 2]),
        ({3}, [3]),
        (frozenset({3}), [3]),
        (SON([("b", 1), ("a", OID)]), {"b": 1, "a": str(OID)}),
        ({1: 1, None: 2, OID: 3, Size.LARGE: 4, Colour.RED: 5}, {"1": 5, "None": 2, str(OID): 3, "L": 4}),
        ([{"a": [float("nan"), {"b": OID}]}], [{"a": [None, {"b": str(OID)}]}]),
    ],
    ids=repr,
)
def test_every_type_has_its_form_in_json(value: Any, expected: Any) -> None:
    assert to_json_value(value) == expected
    assert json.loads(dumps(value)) == expected


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2016-12-21T14:50:42Z"),
        (NOON.replace(tzinfo=None), "2016-12-21T14:50:42Z"),
        (NOON.replace(microsecond=123999), "2016-12-21T14:50:42.123Z"),
        (NOON.replace(microsecond=1000), "2016-12-21T14:50:42.001Z"),
        (NOON.replace(microsecond=999), "2016-12-21T14:50:42Z"),
        (NOON.astimezone(datetime.timezone(datetime.timedelta(hours=5, minutes=30))), "2016-12-21T14:50:42Z"),
        (datetime.datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_a_time_is_in_utc_with_milliseconds_only_where_there_are_some(moment: datetime.datetime, text: str) -> None:
    assert iso(moment) == text


def test_json_is_compact_and_in_utf_8() -> None:
    assert dumps({"a": ["ü", 1, None]}) == '{"a":["ü",1,null]}'.encode()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes()
        | st.decimals() | st.uuids(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=10,
    )
)  # fmt: skip
def test_whatever_it_is_the_json_is_strict(value: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(dumps(value), parse_constant=refuse)
