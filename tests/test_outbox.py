"""What waits for a slow client."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsflask.connection.outbox import Outbox


def filled(*frames: bytes, sent: int = 0) -> Outbox:
    """Return an outbox of these frames, the first sent in part; the n-th came at the time n."""
    outbox = Outbox()
    for number, frame in enumerate(frames):
        outbox.add(frame, 0 if number else sent, float(number))
    return outbox


def emptied(outbox: Outbox, step: int = 1 << 20) -> bytes:
    """Return what leaves, at most `step` bytes at a time."""
    gone = b""
    while outbox:
        chunk = outbox.chunk()[:step]
        gone += chunk
        outbox.left(len(chunk))
    return gone


def test_frames_leave_in_order_and_joined() -> None:
    outbox = filled(b"aaa", b"bb", b"c")

    assert outbox.chunk() == b"aaabbc"


def test_a_frame_that_left_in_part_goes_on_where_it_stopped() -> None:
    outbox = filled(b"abcdef", b"gh", sent=2)

    assert outbox.size == 6
    assert emptied(outbox, step=3) == b"cdefgh"
    assert outbox.size == 0


def test_an_empty_outbox_is_false() -> None:
    outbox = filled(b"ab")
    before = bool(outbox)

    outbox.chunk()
    outbox.left(2)

    assert (before, bool(outbox), outbox.size) == (True, False, 0)


def test_a_write_that_takes_nothing_changes_nothing() -> None:
    outbox = filled(b"abc", b"d", sent=1)

    outbox.chunk()
    outbox.left(0)

    assert (outbox.size, outbox.chunk()) == (3, b"bcd")


def test_a_chunk_is_bounded_when_frames_are_small_and_a_frame_when_they_are_large() -> None:
    small, large = filled(*[b"x"] * 1000), filled(b"x" * 300_000, b"y")

    assert len(small.chunk()) == 64
    assert len(large.chunk()) == 300_000
    assert len(filled(*[b"x" * 50_000] * 10).chunk()) == 150_000


def test_its_age_is_that_of_the_frame_that_has_waited_longest() -> None:
    outbox = filled(b"aa", b"bb", b"cc")
    ages = [outbox.oldest]
    for count in (1, 1, 2):
        outbox.chunk()
        outbox.left(count)
        ages.append(outbox.oldest)

    assert ages == [0.0, 0.0, 1.0, 2.0]


def test_a_cut_drops_what_has_not_begun_to_leave() -> None:
    outbox = filled(b"abcdef", b"gh", b"ij", sent=2)

    outbox.cut()

    assert (outbox.size, emptied(outbox)) == (4, b"cdef")


def test_a_cut_drops_all_when_nothing_has_begun_to_leave() -> None:
    outbox = filled(b"ab", b"cd")

    outbox.cut()

    assert not outbox
    assert outbox.size == 0


def test_a_cut_while_a_chunk_is_being_written_keeps_the_frames_of_that_chunk() -> None:
    outbox = filled(b"aaa", b"bbb", b"ccc", sent=1)
    chunk = outbox.chunk()

    outbox.cut()
    outbox.add(b"zz", 0, 9.0)
    outbox.left(4)

    assert chunk[:4] + emptied(outbox) == b"aabbbccczz"


@given(
    frames=st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=100),
    steps=st.lists(st.integers(0, 60), max_size=60),
    cut_at=st.integers(0, 60),
)
def test_what_leaves_is_whole_frames_however_it_is_cut(frames: list[bytes], steps: list[int], cut_at: int) -> None:
    outbox = filled(*frames)
    gone = b""

    for number, step in enumerate(steps):
        if not outbox:
            break
        if number == cut_at:
            outbox.cut()
            continue
        chunk = outbox.chunk()[:step]
        gone += chunk
        outbox.left(len(chunk))
        assert outbox.size >= 0
    gone += emptied(outbox)

    borders = [b"".join(frames[:count]) for count in range(len(frames) + 1)]
    assert gone in borders
