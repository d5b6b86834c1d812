"""An application whose database goes away; its users are kept elsewhere, but for those whose names begin with "db"."""

from __future__ import annotations

import os
import time
from typing import Any

import flask_login
import mongoengine
from flask import Flask, jsonify, request
from mongoengine import Document, StringField
from pymongo import MongoClient

from wsflask import Broadcaster, Clipboard, Notifier, WebSocketServer

URI = "OUTPOST_MONGODB_URI"


class OutpostUser(flask_login.UserMixin):
    def __init__(self, name: str) -> None:
        self.id = name


class OutpostGate(Document):
    name = StringField()
    meta = {"collection": "outpost_gates"}


def create_app() -> Flask:
    mongoengine.connect(host=os.environ[URI], uuidRepresentation="standard")
    app = Flask(__name__)
    app.secret_key = "a secret of the outpost"
    login = flask_login.LoginManager(app)
    server = WebSocketServer(app, services=[Notifier, Clipboard, Broadcaster])
    server.expose(OutpostGate, fields=("name",), read=lambda user: True)

    @login.user_loader
    def load(name: str) -> Any:
        if name.startswith("db"):
            OutpostGate.objects(name=name).first()
        return OutpostUser(name)

    @app.route("/login", methods=["GET", "POST"])
    def sign_in() -> str:
        flask_login.login_user(OutpostUser(request.form.get("username", "nobody")))
        return "hello"

    @app.get("/numbers")
    def numbers() -> Any:
        return jsonify({**server.statistics(), "cpu": time.process_time(), "is_live": server.feed.is_live})

    return app


def client_of(uri: str) -> MongoClient[Any]:
    """Return a client that finds another primary soon."""
    return MongoClient(uri, serverSelectionTimeoutMS=20_000, socketTimeoutMS=20_000, heartbeatFrequencyMS=500)


app = create_app() if os.environ.get(URI) else None
