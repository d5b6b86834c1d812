"""A small UI with a login, as it was before wsflask: the tests add to it what they are about."""

from __future__ import annotations

from typing import Any

import mongoengine
from flask import Flask, redirect, request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user

__all__ = ["Flight", "User", "create_app"]


class User(UserMixin):
    """A user whose name says everything: "ann.pilots" is ann of the group pilots."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.groups = name.split(".")[1:]


class Flight(mongoengine.Document):
    """A document to watch."""

    meta = {"collection": "flights"}
    flight = mongoengine.StringField()
    gate = mongoengine.StringField()
    status = mongoengine.StringField()


def create_app(uri: str, **config: Any) -> Flask:
    """Return the application, connected to the database at `uri`."""
    mongoengine.connect(host=uri, tz_aware=True)
    app = Flask(__name__)
    app.config.update(SECRET_KEY="a key for the tests, and for nothing else", **config)
    manager = LoginManager(app)
    manager.user_loader(User)

    @app.get("/")
    def index() -> str:
        return "the desk"

    @app.route("/login", methods=["GET", "POST"])
    def login() -> ResponseReturnValue:
        if request.method == "POST":
            login_user(User(request.form["username"]))
            return redirect("/")
        return '<form method="post"><input name="username"></form>'

    @app.post("/logout")
    @login_required
    def logout() -> ResponseReturnValue:
        logout_user()
        return redirect("/")

    return app
