"""What protects the pages: a CSRF token in every form, and a policy that allows no inline script or style."""

from __future__ import annotations

import secrets

from flask import Flask, Response, abort, request, session

__all__ = ["protect"]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def protect(app: Flask) -> None:
    """Refuse forms without the session's token, and send the policy with every page."""
    app.before_request(_check_token)
    app.after_request(_add_headers)
    app.add_template_global(_token, "csrf_token")


def _token() -> str:
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    return str(session["csrf"])


def _check_token() -> None:
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    known, sent = session.get("csrf"), request.form.get("csrf_token", "")
    if not isinstance(known, str) or not secrets.compare_digest(known.encode(), sent.encode("utf-8", "replace")):
        abort(400, "csrf")


def _add_headers(response: Response) -> Response:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype == "text/html":
        response.headers.setdefault("Cache-Control", "no-store")
    return response
