"""Sign in to a UI through its login form, and return the session's cookie."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode, urljoin

from ..errors import ConfigError

__all__ = ["sign_in"]

#: Seconds for a page; bytes of it that are looked through for hidden inputs.
_PATIENCE, _LONGEST_PAGE = 30.0, 1 << 20


def sign_in(base_url: str, path: str, fields: Mapping[str, str], *, is_insecure: bool = False) -> str:
    """Post the login form at `path`, with its hidden inputs (a CSRF token), and return the Cookie header. Blocks.

    Whether the fields were right, the first connection will show.

    Raises:
        ConfigError: the page cannot be had, the form is refused, or no cookie comes of it.
    """
    url = urljoin(base_url, path)
    jar = CookieJar()
    context = ssl._create_unverified_context() if is_insecure else ssl.create_default_context()  # noqa: S323 - asked for
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),  # The connections take none either.
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPCookieProcessor(jar),
        _FormRedirects,
    )
    url, page = _request(opener, url)
    hidden = _HiddenInputs()
    hidden.feed(page)
    _request(opener, url, urlencode({**hidden.values, **fields}).encode(), {"Origin": base_url, "Referer": url})
    if not len(jar):
        raise ConfigError(f"{url} set no cookie; is that the login form, and are its fields called that?")
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


class _FormRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the form, but not to the page that a login leads to."""

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:
        return None if req.data is not None else super().redirect_request(req, *rest)


class _HiddenInputs(HTMLParser):
    """Gathers the names and values of a page's hidden inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "input" and (found.get("type") or "").lower() == "hidden" and found.get("name"):
            self.values.setdefault(str(found["name"]), found.get("value") or "")


def _request(
    opener: urllib.request.OpenerDirector, url: str, data: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Return where the answer has come from, and its text."""
    request = urllib.request.Request(url, data, dict(headers or {}))  # noqa: S310 - http or https, see `find_target`
    try:
        with opener.open(request, timeout=_PATIENCE) as answer:
            return answer.url, answer.read(_LONGEST_PAGE).decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            if data is not None and error.code in (301, 302, 303, 307, 308):
                return url, ""
        raise ConfigError(f"the login at {url} was answered {error.code} {error.reason}") from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConfigError(f"the login at {url} cannot be reached: {reason}") from None
