"""Requests to the application, whose workers may be killed while they answer."""

from __future__ import annotations

import http.client
import time
import urllib.request
from collections.abc import Mapping
from email.message import Message

__all__ = ["post"]

#: Seconds in which a worker has to be there again.
_PATIENCE = 20.0


def post(url: str, headers: Mapping[str, str] | None = None) -> Message:
    """Post nothing to a URL, again until it is answered; return the answer's headers. May switch.

    Raises:
        OSError: nobody answers.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        request = urllib.request.Request(url, b"", dict(headers or {}), method="POST")
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
                return answer.headers  # type: ignore[no-any-return]
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
