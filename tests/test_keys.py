"""Primary keys as keys of a dict, and back."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId

from wsflask.encoding import to_json_value
from wsflask.live.keys import identity_of, row_key

IDS: tuple[Any, ...] = (
    ObjectId("585a88b208b199f61004d968"), "text", "", 7, Int64(2**60), 1.5, Decimal128("2.50"), True, None,
    datetime.datetime(2026, 11, 20, 12, 30, 1, 5000, tzinfo=datetime.UTC), uuid.UUID(int=5), Binary(b"abc"),
    Binary(b"abc", 128), {"airline": "UA", "number": 7}, {},
)  # fmt: skip


@pytest.mark.parametrize("identity", IDS, ids=repr)
def test_the_id_behind_a_key_is_the_one_that_clients_know(identity: Any) -> None:
    assert to_json_value(identity_of(row_key(identity))) == to_json_value(identity)
    assert row_key(identity_of(row_key(identity))) == row_key(identity)


def test_keys_are_equal_exactly_where_ids_are() -> None:
    assert len({row_key(identity) for identity in IDS}) == len(IDS)
    assert row_key(1) == row_key(1.0) == row_key(Int64(1)) == row_key(Decimal128("1.0"))
    assert row_key(True) != row_key(1)
    assert row_key("1") != row_key(1)
