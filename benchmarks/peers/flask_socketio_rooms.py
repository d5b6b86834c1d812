"""Flask-SocketIO as its documentation has it: a room for each user, `gunicorn -k gevent -w 1`."""

from flask import Flask, request
from flask_socketio import SocketIO, join_room

app = Flask(__name__)
app.secret_key = "benchmark"
socketio = SocketIO(app, async_mode="gevent", cors_allowed_origins="*")


@socketio.on("connect")
def connect(auth):
    join_room(auth["user"])


@app.get("/")
def page():
    return "rooms"


@app.post("/notify")
def notify():
    told = request.get_json()
    socketio.emit("notification", {"token": told["token"]}, to=told["user"])
    return "", 204
