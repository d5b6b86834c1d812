"""Log a user in without a browser."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from wsflask.testing.waiting import PATIENCE


def login(base_url: str, user: str, *, path: str = "/login", **fields: str) -> str:
    """Log `user` in by posting the form at `path`, and return the Cookie header of the session.

    `fields` are further fields of the form, such as the password; a hidden csrf_token is taken from the page.
    """
    jar: dict[str, str] = {}
    form = {"username": user, **fields}
    page = _request(base_url + path, jar)
    if 'name="csrf_token"' in page:
        form["csrf_token"] = page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]
    _request(base_url + path, jar, form)
    assert jar, f"{base_url}{path} set no cookie for {user}"
    return "; ".join(f"{name}={value}" for name, value in jar.items())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _request(url: str, jar: dict[str, str], form: Mapping[str, str] | None = None) -> str:
    """Return the body at `url`, keeping cookies in `jar`; a redirect is not followed."""
    data = urllib.parse.urlencode(form).encode() if form is not None else None
    parts = urllib.parse.urlsplit(url)
    headers = {"Origin": f"{parts.scheme}://{parts.netloc}"}
    if jar:
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        answer = opener.open(urllib.request.Request(url, data, headers), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.split(";", 1)[0].partition("=")
            jar[name.strip()] = value.strip()
        return str(answer.read().decode(errors="replace"))
