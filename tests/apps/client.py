"""Pages with the JavaScript client on them, and services for it to talk to."""

from __future__ import annotations

import os
from typing import Any

from flask import render_template, request, url_for
from flask_login import login_required
from jinja2 import DictLoader

from wsflask import Broadcaster, Clipboard, Connection, Notification, Notifier, Service, WebSocketServer

from .desk import Flight, create_app

__all__ = ["app"]


class Echo(Service):
    """Answers with what it is told, and tells everybody."""

    channel = "echo"

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        self.publish({"user": user.get_id(), "said": message})
        return {"you said": message}


class Chat(Service):
    """Tells everybody what is said, also who is away; says each thing once."""

    channel = "chat"

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        return self.once(ws, message, lambda: self._say(message["n"], user))

    def _say(self, n: int, user: Any) -> int:
        self.publish({"n": n}, keep=60.0)
        Notifier.notify(Notification(message=f"note {n}", users=[user.get_id()]))
        return n


app = create_app(os.environ["WSFLASK_MONGODB_URI"])
server = WebSocketServer(services=[Echo, Chat, Notifier, Clipboard, Broadcaster])
server.init_app(app)
server.expose(Flight, fields=("flight", "gate"), hidden=("status",), read=lambda user: True)

_MODULE = """
<!doctype html><title>module</title>
<script type="module">
  import { connect } from "%s?v=1";
  window.ws = connect();
</script>
"""
_CHAT = """
<!doctype html><title>chat</title>
<script type="module">
  import { connect } from "%s";
  window.ws = connect();
  window.heard = { chat: [], notes: [], streams: [] };
  window.before = JSON.parse(sessionStorage.before ?? "[]");
  addEventListener("pagehide", () => { sessionStorage.before = JSON.stringify([...before, ...heard.chat]); });
  ws.channel("chat").on("message", ({ n }) => heard.chat.push(n));
  ws.channel("chat").on("reset", () => heard.chat.push("reset"));
  ws.notifications.on("arrival", ({ label }) => heard.notes.push(label));
  ws.on("stream", ({ stream, state, missed }) => heard.streams.push(`${stream} ${state} ${missed}`));
</script>
"""
_CLASSIC = """
<!doctype html><title>classic</title>
<script src="%s"></script>
<script>window.ws = wsflask.connect();</script>
"""


_LIVE = """
<!doctype html><title>live</title>
<table>{{ live(flights, template="flight.html", tag="tbody") }}</table>
<script type="module">
  import { connect } from "{{ url_for('wsflask.static', filename='wsflask.js') }}";
  window.ws = connect();
  window.views = ws.live();
</script>
"""
_FLIGHT = "<tr><td>{{ flight.flight }}</td><td>{{ flight.gate }}</td></tr>"
app.jinja_loader = DictLoader({"live.html": _LIVE, "flight.html": _FLIGHT})


@app.get("/live")
@login_required
def live_page() -> str:
    """Return a page with the three flights of the first gates."""
    return render_template("live.html", flights=Flight.objects.order_by("gate").limit(3))


@app.post("/gates/<key>")
@login_required
def set_gate(key: str) -> str:
    """Move a flight to the gate in the body."""
    Flight.objects(pk=key).update_one(set__gate=request.get_data(as_text=True))
    return ""


@app.get("/module")
@login_required
def module_page() -> str:
    """Return the page with the ES module."""
    return _MODULE % url_for("wsflask.static", filename="wsflask.js")


@app.get("/chat")
@login_required
def chat_page() -> str:
    """Return a page that notes what it hears."""
    return _CHAT % url_for("wsflask.static", filename="wsflask.js")


@app.get("/classic")
@login_required
def classic_page() -> str:
    """Return the page with the classic script."""
    return _CLASSIC % url_for("wsflask.static", filename="wsflask.classic.js")
