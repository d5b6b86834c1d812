"""The desk behind a login form with a password and a CSRF token, with notifications."""

from __future__ import annotations

import os
import secrets

import flask_login
from flask import abort, redirect, request, session
from flask.typing import ResponseReturnValue

from wsflask import Notifier, WebSocketServer

from .desk import User, create_app

__all__ = ["app"]

app = create_app(os.environ["WSFLASK_MONGODB_URI"])
WebSocketServer(app, services=[Notifier])

_FORM = """
<form method="post">
  <INPUT TYPE="hidden" name="token" value="{token}"><input name="username"><input name="password" type="password">
</form>
"""


@app.get("/moved")
def moved() -> ResponseReturnValue:
    """Send the reader on to the form."""
    return redirect("/login")


@app.get("/forbidden")
def forbidden() -> ResponseReturnValue:
    """Refuse."""
    return "no", 401


def _login() -> ResponseReturnValue:
    if request.method == "POST":
        if request.form.get("token") != session.get("token"):
            abort(400)
        if request.form["password"] == "open &sesame":
            flask_login.login_user(User(request.form["username"]))
            return redirect("/nowhere")
    session["token"] = secrets.token_hex()
    return _FORM.format(token=session["token"])


app.view_functions["login"] = _login
