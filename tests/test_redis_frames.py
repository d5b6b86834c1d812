"""What goes through Redis, without one."""

from __future__ import annotations

from uuid import uuid4

import pytest
from bson import encode
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions

from wsflask.feed import Change, Gap
from wsflask.feed.base import Namespace
from wsflask.feed.changes import Late
from wsflask.feed.redis_frames import Forged, Seal, bounded, namespace_in, pack, text_of, unpack

OPTIONS: CodecOptions[dict[str, object]] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
GATES, LOUNGES = ("ui", "gates"), ("ui", "lounges.new")
BOTH = frozenset({GATES, LOUNGES})


def seq(number: int) -> str:
    return f"{number:020d}"


def late(**fields: object) -> Late:
    return Late(encode(fields, codec_options=OPTIONS), OPTIONS)


def test_a_frame_comes_out_as_it_went_in() -> None:
    key = uuid4()
    told: list[tuple[Namespace, Change | Gap]] = [
        (GATES, Change(seq(5), "I", "gates", key, late(_id=key, n=1))),
        (LOUNGES, Change(seq(6), "U", "lounges.new", "x", None)),
        (GATES, Gap(seq(7), "dropped", "gates")),
        (LOUNGES, Change(seq(8), "D", "lounges.new", {"a": 1}, None)),
    ]

    frame = unpack(pack(seq(4), BOTH, told, OPTIONS), "9-0", seq(9), OPTIONS, BOTH)

    assert (frame.since, frame.reached, frame.covered, frame.left_out) == (seq(4), seq(9), BOTH, [])
    assert frame.told == [(GATES, Change(seq(5), "I", "gates", key, {"_id": key, "n": 1})), *told[1:]]


def test_only_what_is_wanted_is_unpacked() -> None:
    told = [(GATES, Change(seq(5), "D", "gates", 1, None)), (LOUNGES, Change(seq(5), "D", "lounges.new", 2, None))]

    frame = unpack(pack(seq(4), BOTH, told, OPTIONS), "9-0", seq(9), OPTIONS, frozenset({LOUNGES}))

    assert frame.told == told[1:]
    assert frame.covered == BOTH


def test_large_documents_are_left_out_and_so_are_those_that_find_no_room() -> None:
    large = Change(seq(5), "I", "gates", 0, late(x="x" * 300_000))
    last = Change(seq(6), "D", "gates", 0, late(x="x" * 300_000))
    many = [Change(seq(7 + n), "U", "gates", n, late(x="x" * 200_000)) for n in range(30)]
    body = pack(seq(4), BOTH, [(GATES, change) for change in (large, last, *many)], OPTIONS)

    frame = unpack(body, "99-0", seq(99), OPTIONS, BOTH)

    assert len(body) < 5_000_000
    assert frame.left_out[0] == 0
    assert 1 not in frame.left_out  # nobody can look up the last state of what is deleted
    assert frame.left_out[1:] == list(range(22, 32))
    images = [item.image for _, item in frame.told if isinstance(item, Change)]
    assert isinstance(images[5], Late)
    assert images[5].decoded == {"x": "x" * 200_000}
    assert images[1] is None


def test_a_large_document_is_left_out_however_it_came() -> None:
    small = {"_id": 1, "x": "x" * 100}
    told: list[tuple[Namespace, Change | Gap]] = [
        (GATES, Change(seq(5), "I", "gates", 1, small)),
        (GATES, Change(seq(6), "I", "gates", 2, {"_id": 2, "x": "x" * 300_000})),
        (GATES, Gap(seq(7), "dropped", "gates")),
    ]

    body = pack(seq(4), BOTH, told, OPTIONS)
    frame = unpack(body, "9-0", seq(9), OPTIONS, BOTH)

    assert len(body) < 1000
    assert frame.left_out == [1]
    assert [frame.told[0], frame.told[2]] == [told[0], told[2]]


def test_more_than_a_frame_can_tell_is_a_gap_for_each_collection() -> None:
    told = [(GATES if n % 2 else LOUNGES, Change(f"{seq(5)}.{n:04d}", "D", "x", n, None)) for n in range(50_001)]

    gaps = bounded([*told])

    assert [namespace for namespace, _ in gaps] == [LOUNGES, GATES]
    assert all(isinstance(gap, Gap) and gap.seq == seq(5) for _, gap in gaps)
    assert bounded([*told[:50_000]]) == told[:50_000]


@pytest.mark.parametrize("label", ["6-0", ""])
def test_what_was_signed_elsewhere_does_not_count(label: str) -> None:
    signed = Seal(b"secret", "one").sign("5-0", b"body")

    assert Seal(b"secret", "one").check("5-0", signed) == b"body"
    for seal, place, text in [
        (Seal(b"secret", "one"), label, signed),
        (Seal(b"other", "one"), "5-0", signed),
        (Seal(b"secret", "two"), "5-0", signed),
        (Seal(b"secret", "one"), "5-0", signed + b"."),
        (Seal(b"secret", "one"), "5-0", signed[:-1]),
        (Seal(b"secret", "one"), "5-0", b""),
    ]:
        with pytest.raises(Forged):
            seal.check(place, text)


def test_a_collection_s_name_may_have_dots() -> None:
    assert [namespace_in(text_of(each)) for each in (GATES, LOUNGES)] == [GATES, LOUNGES]
