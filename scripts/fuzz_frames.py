"""Fuzz what reads a client's bytes, guided by coverage, against slow readers written from the specifications.

    python -m scripts.fuzz_frames [--target messages] [--seconds 600] [--runs 10000000]
    python -m scripts.fuzz_frames [--target messages] FILE ...

The target `frames` feeds the frame reader bytes, and frames in any order and form, in any pieces: after every piece it
has to tell what tests/reference/frames.py makes of the same bytes, never raise, hold no more than a message and a
header, and be deaf after the end; what our encoder frames it has to read. The target `messages` has `parse` and
tests/reference/messages.py read a text. It ends after so many seconds or runs, or at the first finding, with a status
other than 0: that input is kept as .fuzz/crash-…, and is tried again when it is given as FILE. What was learned stays
in .fuzz for the next run.

Needs `pip install atheris` (Linux; on macOS it has to be built with its own clang).
"""

import argparse
import hashlib
import importlib
import sys
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIMITS = (1, 2, 20, 125, 126, 127, 300, 65535, 65536, 1 << 40)
#: An input of the target `frames` begins with a form, a limit and at most so many cuts, a byte each.
CUTS = 6
RAW, BUILT, ROUND_TRIP = 0, 1, 2
OPCODES = (0, 1, 2, 8, 9, 10, 1, 0)
CODES = (0, 999, 1000, 1003, 1004, 1006, 1007, 1014, 1015, 2999, 3000, 4999, 5000)
#: What mutations may put in, for each target.
WORDS: dict[str, tuple[bytes, ...]] = {
    "frames": (
        b"\x81\x80\0\0\0\0", b"\x01\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x89\x80\0\0\0\0", b"\x82\xfe\0\x7d",
        b"\x82\xfe\0\x7e", b"\x82\xff\0\0\0\0\0\0\xff\xff", b"\x82\xff\0\0\0\0\0\1\0\0",
        b"\x81\xff\0\0\0\0\0\1\0\0", b"\xc1\x80\0\0\0\0", b"\x41\x80\0\0\0\0",
        b"\xe4\xb8\x96", b"\xf0\x9f\x8e\x89", b"\xed\xa0\x80", b"\xf4\x90",
        *(b"\x88\x82\0\0\0\0" + code.to_bytes(2, "big") for code in CODES),
    ),
    "messages": (
        b'{"', b'":', b'","', b"{}", b"[]", b"true", b"false", b"null", b"NaN", b"-0", b"1e999", b"0.5",
        b"\\u", b"\\ud83c\\udf89", b"\\\\", b"\\n", "é世🎉".encode(), b'"channel":"a', b'"payload":', b'"id":"',
        b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809",
    ),
}  # fmt: skip


def main() -> None:
    """Fuzz until something is found, or the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="inputs to try once, instead of fuzzing")
    parser.add_argument("--target", choices=["frames", "messages"], default="frames")
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--runs", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=ROOT / ".fuzz", help="default: .fuzz")
    options = parser.parse_args()
    try:
        import atheris
    except ImportError:
        sys.exit("atheris is missing; pip install atheris")
    with atheris.instrument_imports(include=["wsflask.protocol", "tests.reference"]):
        agreement = importlib.import_module("tests.reference.agreement")
        limits = importlib.import_module("wsflask.protocol.requests").Limits
    one = frames_target(agreement) if options.target == "frames" else messages_target(agreement, limits)
    corpus, words = prepare(options.folder, options.target)
    arguments = [f"-artifact_prefix={options.folder}/", "-print_final_stats=1", "-timeout=20", "-rss_limit_mb=2048"]
    if options.files:
        arguments += map(str, options.files)
    else:
        arguments += [f"-max_total_time={options.seconds}", f"-runs={options.runs}", "-max_len=1024"]
        arguments += [f"-dict={words}", str(corpus)]
    atheris.Setup([sys.argv[0], *arguments], one)
    atheris.Fuzz()


def frames_target(agreement: ModuleType) -> Callable[[bytes], None]:
    """Return what tries one input on the frame reader."""

    def one(data: bytes) -> None:
        head, body = data[: 2 + CUTS].ljust(2 + CUTS, b"\0"), data[2 + CUTS :]
        form, rest = head[0] % 3, head[0] // 3
        limit, is_compressed = LIMITS[rest % len(LIMITS)], rest // len(LIMITS) % 2 == 1
        cuts = head[2 : 2 + head[1] % (CUTS + 1)]
        if form == ROUND_TRIP:
            agreement.check_round_trip(body[4:], (1, 2)[head[2] % 2], body[:4].ljust(4, b"\0"), 3000 + head[3])
        else:
            agreement.check_frames(build(body) if form == BUILT else body, limit, cuts, is_compressed=is_compressed)

    return one


def build(program: bytes) -> bytes:
    """Return the client's frames that the bytes describe: two for kind, form and length of each, and its payload."""
    stream, at = bytearray(), 0
    while at + 1 < len(program):
        how, length = program[at : at + 2]
        payload = program[at + 2 : at + 2 + length] * (8 if how & 0x80 else 1)
        at += 2 + length
        first, form = OPCODES[how & 7] | (0 if how & 8 else 0x80), (how >> 4) & 3
        if form == 1:  # The first frame of a compressed message, or one that may not say so.
            first, payload = first | 0x40, deflated(payload)
        stream += header(first, len(payload), form)
        mask = bytes((length, 7, how, 0xFF)) if how & 0x40 else bytes(4)
        stream += mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes(stream) + program[at:]


def deflated(payload: bytes) -> bytes:
    """Return the payload as a client compresses it (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def header(first: int, length: int, form: int) -> bytes:
    """Return a header's bytes before the mask; forms 2 and 3 write the length in two and eight bytes, fit or not."""
    if form == 3 or length > 65535:
        return bytes((first, 255)) + length.to_bytes(8, "big")
    if form == 2 or length > 125:
        return bytes((first, 254)) + length.to_bytes(2, "big")
    return bytes((first, 0x80 | length))


def messages_target(agreement: ModuleType, limits_class: Callable[..., Any]) -> Callable[[bytes], None]:
    """Return what tries one input on `parse`."""

    def one(data: bytes) -> None:
        depth, keys, string = data[:3].ljust(3, b"\0")
        limits = limits_class(depth=depth % 12 + 1, keys=keys % 20 + 1, string=string + 1)
        agreement.check_message(data[3:].decode(errors="ignore"), limits)

    return one


def prepare(folder: Path, target: str) -> tuple[Path, Path]:
    """Return the folder of the inputs so far, with a few to begin with, and the file of words to put in."""
    corpus, words = folder / f"corpus-{target}", folder / f"words-{target}"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in frame_seeds() if target == "frames" else message_seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:40]).write_bytes(seed)
    words.write_text("".join('"' + "".join(map(r"\x{:02x}".format, word)) + '"\n' for word in WORDS[target]))
    return corpus, words


def frame_seeds() -> Iterable[bytes]:
    """Yield conversations as bytes, frame programs, and a round trip."""
    form, head = 3 * LIMITS.index(300), bytes((3, 1, 3, 9, 20, 40, 60))
    inflating = 3 * (len(LIMITS) + LIMITS.index(300))
    raw, built = bytes([form + RAW]) + head, bytes([form + BUILT]) + head
    text, close = "é世🎉".encode(), b"\x88\x82\0\0\0\0\x03\xe8"
    yield raw + b"\x01\x83\0\0\0\0" + text[:3] + b"\x89\x80abcd\x80\x86\0\0\0\0" + text[3:] + close
    yield raw + b"\x82\xfe\0\x80\0\0\0\0" + bytes(128) + close
    yield built + b"".join(bytes((how, len(text))) + text for how in (0x49, 0x04, 0x08, 0x40, 0xC2))
    yield built + b"\x01\x01x" + b"\x03\x05\x0f\xa0bye"
    yield bytes([inflating + BUILT]) + head + b"".join(bytes((how, len(text))) + text for how in (0x11, 0x51, 0x92, 1))
    yield bytes([inflating + RAW]) + head + b"\x41\x81\0\0\0\0\x4a\x80\x83\0\0\0\0\x04\0\0" + close
    yield bytes([inflating + RAW]) + head + b"\xc2\x8a\0\0\0\0" + deflated(bytes(2000))[:10]
    yield bytes([3 * LIMITS.index(1 << 40) + RAW, 0]) + bytes(6) + b"\x81\xff\0\0\0\0\0\1\0\0" + bytes(123)
    yield bytes([form + ROUND_TRIP]) + head + b"mask" + text


def message_seeds() -> Iterable[bytes]:
    """Yield requests, taken and refused."""
    for text in (
        '{"channel":"echo","payload":{"a":[1,-0.5e3,true,null,"\\ud83c\\udf89 \\n é"]},"id":"7"}',
        '{"channel":"ECHO","payload":9223372036854775808,"id":"7","more":[[[]]]}',
        ' [NaN, 1E400, {"a":1,"a":2}, "\\ud800"] ',
    ):
        yield bytes((9, 9, 60)) + text.encode()


if __name__ == "__main__":
    main()
