"""A scope is true in memory for exactly the documents that MongoDB's `find` gives for it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from bson import Binary, DBRef, Decimal128, Int64
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from tests import harness
from tests.bson_values import NOON, TOKENS, documents, scalars
from tests.reference import truth
from wsflask.access import OPERATORS, Condition, Scope
from wsflask.access.paths import values_at
from wsflask.errors import Refusal

NAMES = st.sampled_from(["t", "n", "p", "ps", "x", "y", "c", "0", "1", "when"])
SHOWN = truth.EXPOSED.fields


def parse(data: Any) -> Scope:
    """Return the scope; one that is refused is no example."""
    try:
        return truth.EXPOSED.parse_scope(data, SHOWN)
    except Refusal:
        reject()


paths = st.sampled_from(truth.PATHS)
written = st.sampled_from(truth.WRITTEN)
conditions = st.tuples(paths, st.sampled_from([op for op in OPERATORS if op != "in"]), written) | st.tuples(
    paths, st.just("in"), st.lists(written, max_size=3)
)
scopes = st.lists(conditions, min_size=1, max_size=2).map(
    lambda asked: parse([{"fn": path, "op": op, "val": value} for path, op, value in asked])
)


def rows_of(database: harness.Database, scope: Scope, stored: list[dict[str, Any]]) -> tuple[set[Any], set[Any]]:
    """Return the ids of the rows that MongoDB finds, and of those that match in memory."""
    collection = database["truth"]
    collection.delete_many({})
    collection.insert_many(stored)
    found = {document["_id"] for document in collection.find(scope.to_query(), {"_id": 1})}
    return found, {document["_id"] for document in collection.find() if scope.matches(document)}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scope=scopes, found=st.lists(documents(NAMES), min_size=1, max_size=6))
def test_memory_and_mongodb_tell_the_same_rows(
    database: harness.Database, scope: Scope, found: list[dict[str, Any]]
) -> None:
    in_mongodb, in_memory = rows_of(database, scope, [{**document, "_id": n} for n, document in enumerate(found)])

    assert in_memory == in_mongodb, (scope, found)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_memory_and_mongodb_agree_about_documents_of_the_declared_shape(database: harness.Database, seed: int) -> None:
    """What scripts/match_mongo.py does for longer: 20,000 pairs of a document and a scope."""
    tally = truth.compare(database["truth"], random.Random(seed), 20_000)

    assert tally.differences is None
    assert tally.pairs == 20_000
    assert tally.rows > 1000  # else nothing was tried


def test_the_comparison_notices_a_matcher_that_is_wrong(
    database: harness.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsflask.access.paths.is_index", lambda segment: False)

    tally = truth.compare(database["truth"], random.Random(1), 10_000)

    assert tally.differences


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    op=st.sampled_from(OPERATORS),
    targets=st.lists(scalars, min_size=1, max_size=3),
    found=st.lists(scalars | st.lists(scalars, max_size=3), min_size=1, max_size=20),
)
def test_values_of_every_type_compare_as_in_mongodb(
    database: harness.Database, op: str, targets: list[Any], found: list[Any]
) -> None:
    usable = [target for target in targets if is_comparable(target, op)]
    if op != "in" and not usable:
        reject()
    scope = Scope([Condition("a", op, usable if op == "in" else usable[0])])

    in_mongodb, in_memory = rows_of(database, scope, [{"_id": n, "a": value} for n, value in enumerate(found)])

    assert in_memory == in_mongodb, (scope, found)


def is_comparable(value: Any, op: str) -> bool:
    """Return whether a field's conversion may give this value, for a condition with this operator."""
    if value is None or isinstance(value, DBRef) or value in TOKENS:
        return op in ("==", "!=", "in")
    if isinstance(value, Decimal128):
        return value.to_decimal().is_finite()
    if isinstance(value, float):
        return value - value == 0
    return isinstance(value, bool | int | str) and type(value) in (bool, int, Int64, str)


@given(found=documents(NAMES), path=paths, value=written)
def test_an_index_finds_every_document_that_an_equality_matches(found: dict[str, Any], path: str, value: Any) -> None:
    scope = parse({path: {"in": [value, 5]}})
    (condition,) = scope.conditions
    assert condition.equals is not None

    assert scope.matches(found) == (not condition.equals.isdisjoint(values_at(found, condition.field)))


@given(asked=st.dictionaries(paths, st.tuples(st.sampled_from([op for op in OPERATORS if op != "in"]), written)))
def test_both_forms_of_a_scope_are_one(asked: dict[str, tuple[str, Any]]) -> None:
    short = parse({path: value if op == "==" else {op: value} for path, (op, value) in asked.items()})
    long = parse([{"fn": path, "op": op, "val": value} for path, (op, value) in asked.items()])

    assert short == long
    assert short.key == long.key


@pytest.mark.parametrize(
    ("data", "document", "matches"),
    [
        ({"parts.text": None}, {}, True),
        ({"parts.text": None}, {"ps": None}, True),
        ({"parts.text": None}, {"ps": 5}, True),
        ({"parts.text": None}, {"ps": []}, False),
        ({"parts.text": None}, {"ps": [5]}, False),
        ({"parts.text": None}, {"ps": [{}]}, True),
        ({"parts.text": "a"}, {"ps": [[{"t": "a"}]]}, False),
        ({"parts.text": "a"}, {"ps": [5, {"t": ["b", "a"]}]}, True),
        ({"parts.text": {"!=": "a"}}, {"ps": [{"t": "b"}, {"t": "a"}]}, False),
        ({"extra.0": 7}, {"x": [7, 8]}, True),
        ({"extra.0": 7}, {"x": [[7, 8]]}, False),
        ({"extra.00": 7}, {"x": [7, 8]}, False),
        ({"extra.0.n": 7}, {"x": [[5, {"n": 7}]]}, True),
        ({"extra.a": 5}, {"x": DBRef("port", "UA", a=5)}, True),
        ({"moment": {">=": "2013-02-08T12:00:00Z"}}, {"when": [NOON]}, True),
        ({"token": str(TOKENS[0])}, {"token": Binary(TOKENS[0].bytes, 3)}, True),
    ],
)
def test_what_surprises_is_as_in_mongodb(
    database: harness.Database, data: Any, document: dict[str, Any], matches: bool
) -> None:
    in_mongodb, in_memory = rows_of(database, parse(data), [{"_id": 1, **document}])

    assert (in_mongodb == {1}) is (in_memory == {1}) is matches
