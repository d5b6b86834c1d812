"""Random BSON documents that meet one another: few names, few values of each type, and their neighbours."""

from __future__ import annotations

import datetime
import math
import uuid
from typing import Any

from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import strategies as st

NOON = datetime.datetime(2013, 2, 8, 12, 0, tzinfo=datetime.UTC)
MOMENTS = [NOON, NOON + datetime.timedelta(milliseconds=1), datetime.datetime(1901, 1, 1, tzinfo=datetime.UTC)]
IDS = [ObjectId(b"\0" * 12), ObjectId("585a88b208b199f61004d968"), ObjectId("585a88b208b199f61004d969")]
TOKENS = [uuid.UUID(int=1), uuid.UUID(int=2)]
NUMBERS: list[Any] = [
    0, 1, -1, 5, Int64(5), 5.0, 5.5, 0.1, -0.0, 2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), float(2**63), 1e19,
    1e300, 5e-324, math.nan, math.inf, -math.inf, Decimal128("5"), Decimal128("5.00"), Decimal128("0.1"),
    Decimal128("5.50"), Decimal128("9007199254740993"), Decimal128("1E+300"), Decimal128("NaN"), Decimal128("Infinity"),
    Decimal128("-Infinity"), Decimal128("-0"), Decimal128("1E+6144"), Decimal128("1E-6176"),
    Decimal128("0.1000000000000000055511151231257827"), Decimal128("0.1000000000000000055511151231257828"),
]  # fmt: skip
TEXTS = [
    "", "a", "A", "aa", "a\0", "a\0b", "5", "é", "e\u0301", "\x7f", "\x80", "\ud7ff", "\ue000", "\uffff", "\U0001f600",
]  # fmt: skip
OTHERS: list[Any] = [
    None, None, True, False, *MOMENTS, *IDS, *TOKENS, b"", b"5", b"\0", b"\xff", b"ab", Binary(b"5", 128),
    Binary(b"5", 2), Binary(TOKENS[0].bytes, 3), Binary(TOKENS[1].bytes, 3), Binary(TOKENS[0].bytes, 5), Regex("a"),
    Regex("a", 2), Regex("a", 10), Regex("b"), Timestamp(5, 1), Timestamp(5, 2), Timestamp(6, 0), Code("a"),
    Code("a", {}),
    Code("a", {"x": 1}), DBRef("airline", "UA"), DBRef("airline", 5), DBRef("airline", 5.0), DBRef("other", "UA", "db"),
    DBRef("airline", "UA", a=5), MinKey(), MaxKey(),
]  # fmt: skip

scalars = st.sampled_from([*NUMBERS, *TEXTS, *OTHERS])


def values(names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Return a strategy for values: scalars, and lists and objects of them, with these names in the objects."""
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=6,
    )


def documents(names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for documents with these names, at each level."""
    return st.dictionaries(names, values(names), max_size=4)
