"""One non-blocking write to each of many sockets: in C where that could be compiled, else in Python."""

from __future__ import annotations

import os
from collections.abc import Sequence

__all__ = ["IS_COMPILED", "send_each"]


def send_each_in_python(descriptors: Sequence[int], chunks: Sequence[bytes]) -> list[tuple[int, int]]:
    """Write `chunks[i]` to the non-blocking socket `descriptors[i]`, once each.

    Returns:
        For each that was not taken whole: its index, and how many bytes the kernel took; -1: the peer is gone.
    """
    short: list[tuple[int, int]] = []
    write = os.write
    for index, (descriptor, chunk) in enumerate(zip(descriptors, chunks, strict=True)):
        try:
            sent = write(descriptor, chunk)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            sent = -1
        if sent != len(chunk):
            short.append((index, sent))
    return short


try:
    from ._sends import send_each  # type: ignore[import-not-found, unused-ignore] # compiled, or missing
except ImportError:  # There was no compiler.
    send_each = send_each_in_python

#: Whether the loop over the sockets runs in C.
IS_COMPILED = send_each is not send_each_in_python
