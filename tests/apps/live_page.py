"""A page with live flights."""

from __future__ import annotations

import os

from flask import render_template
from flask_login import login_required
from jinja2 import DictLoader

from wsflask import Broadcaster, WebSocketServer

from .desk import Flight, create_app

__all__ = ["app"]

app = create_app(os.environ["WSFLASK_MONGODB_URI"])
server = WebSocketServer(app, services=[Broadcaster])
server.expose(Flight, fields=("flight", "gate", "status"), acl=lambda user: user.id != "eve")
app.jinja_loader = DictLoader(
    {
        "flights.html": "{{ live(flights, template='flight_row.html') }}",
        "flight_row.html": "<p>{{ flight.flight }}: {{ flight.gate }}</p>",
    }
)


@app.get("/flights/<status>")
@login_required
def flights(status: str) -> str:
    """Return the page."""
    return render_template("flights.html", flights=Flight.objects(status=status).order_by("flight").limit(10))
