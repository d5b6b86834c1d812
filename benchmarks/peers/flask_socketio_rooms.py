"""Flask-SocketIO as its documentation has it: a room for each user and team, `gunicorn -k gevent -w 1`."""

from flask import Flask, request
from flask_socketio import SocketIO, join_room

from tests.faults.models import groups_of

app = Flask(__name__)
app.secret_key = "benchmark"
socketio = SocketIO(app, async_mode="gevent", cors_allowed_origins="*")


@socketio.on("connect")
def connect(auth):
    user = auth["user"]
    for room in (user, *groups_of(int(user.removeprefix("user"))), "everyone"):
        join_room(room)


@app.get("/")
def page():
    return "rooms"


@app.post("/notify")
def notify():
    told = request.get_json()
    socketio.emit("notification", {"token": told["token"]}, to=told["to"])
    return "", 204
