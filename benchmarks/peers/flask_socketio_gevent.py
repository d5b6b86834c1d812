"""Flask-SocketIO for `gunicorn -k gevent -w 1`; with BENCHMARK_LOGIN in the environment behind Flask-Login."""

import os
from functools import cache

from flask import Flask
from flask_login import LoginManager, UserMixin, current_user
from flask_socketio import SocketIO, emit

app = Flask(__name__)
app.secret_key = "benchmark"
socketio = SocketIO(app, async_mode="gevent")


@socketio.on("broadcast")
def broadcast(request):
    pad = "x" * request["size"]
    for n in range(request["burst"]):
        emit("bench", {"n": n, "pad": pad}, broadcast=True)


@socketio.on("echo")
def echo(message):
    emit("echo", message)


class User(UserMixin):
    def __init__(self, user_id):
        self.id = user_id


if "BENCHMARK_LOGIN" in os.environ:
    LoginManager(app).user_loader(cache(User))

    @socketio.on("connect")
    def connect():
        return current_user.is_authenticated
