"""Flask-SocketIO on gevent's own web server, as `socketio.run` starts it; with --login behind Flask-Login."""

from gevent import monkey

monkey.patch_all()

import argparse
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


def require_login():
    LoginManager(app).user_loader(cache(User))

    @socketio.on("connect")
    def connect():
        return current_user.is_authenticated


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--login", action="store_true", help="refuse whom the session does not sign in")
    options = parser.parse_args()
    if options.login:
        require_login()
    socketio.run(app, host="127.0.0.1", port=options.port, backlog=4096)
