"""The application that walks: rights of each kind over classes of each kind."""

from __future__ import annotations

import logging
import os
from typing import Any

import flask_login
import mongoengine
from flask import Flask
from flask.typing import ResponseReturnValue

from benchmarks.cookies import SECRET_KEY
from wsflask import Broadcaster, WebSocketServer

from .breaks import BREAKS
from .features import chosen
from .models import Animal, Cat, Fence, Note, Order, Person, Product, Shipment, Ticket

__all__ = ["BREAK", "URI", "WITHOUT", "create_app"]

#: The database; features to do without, and the way to misbehave (see `breaks`).
URI, WITHOUT, BREAK = "WALK_MONGODB_URI", "WALK_WITHOUT", "WALK_BREAK"

_CLEARANCES = "walk_clearance"


def _orders(user: Person) -> Any:
    if "admin" in user.roles:
        return True
    if "auditor" in user.roles:
        return [[{"fn": "status", "op": "==", "val": "done"}], [{"fn": "total", "op": ">=", "val": 60}]]
    return [{"fn": "region", "op": "in", "val": list(user.regions)}] if user.regions else None


def _products(user: Person) -> Any:
    return [{"obj": grant, "act": "read"} for grant in user.grants]


def _may_read_ticket(user: Person, document: Any) -> bool:
    if document.owner == user.name or user.name in document.watchers:
        return True
    return "support" in user.roles and document.level is not None and document.level <= user.level


def _own_tickets(user: Person) -> Any:
    return [{"fn": "owner", "op": "==", "val": user.name}]


def _clearance(user: Person) -> dict[str, Any]:
    """Return what is not in the user's document: whoever changes it says so with `rights_changed`."""
    found = Person._get_collection().database[_CLEARANCES].find_one({"_id": user.name})
    return found or {}


def _notes(user: Person) -> Any:
    colors = _clearance(user).get("colors")
    if colors == ["*"]:
        return True
    if not colors:
        return False
    return [{"fn": "color", "op": "in", "val": colors}]


def _notes_by_mapping(user: Person) -> Any:
    found = _notes(user)
    return {"color": {"in": found[0]["val"]}} if isinstance(found, list) else found


def _shipments(user: Person) -> Any:
    return True if user.level >= 2 else [{"fn": "state", "op": "!=", "val": "secret"}]


def _expose(server: WebSocketServer, features: frozenset[str]) -> None:
    everybody = ("number", "region", "status", "placed", "paid", "tags", "serial", "code", "product", "products")
    by_role = {"*": everybody, "sales": ("remark", "contact"), "finance": ("total", "weight")}
    every_field = tuple(name for names in by_role.values() for name in names)

    def ticket_fields(user: Person) -> tuple[str, ...]:
        return ("title", "owner", "level", "place", *(("steps",) if user.level >= 1 else ()))

    has_roles = "roles" in features

    def is_supervisor(user: Person) -> bool:
        return bool(user.supervisor)

    server.expose(
        Order,
        fields=by_role if has_roles else every_field,
        hidden=("margin", "secret"),
        show_hidden=is_supervisor,
        read=_orders,
    )
    server.expose(
        Product,
        fields=("title", "kind", "price"),
        hidden=("supplier",),
        show_hidden=lambda user: user.level >= 2,
        key_sets={"kind": ("kind",)},
        read=_products,
    )
    everyone = [{"obj": "Animal/*", "act": "read"}]
    animal_fields = ("name", "age", "owner", "lives", "trick")
    server.expose(Animal, fields=animal_fields, hidden=("chip",), show_hidden=is_supervisor, read=everyone)
    server.expose(Cat, fields=("name", "lives"), read=lambda user: user.level >= 1)
    server.expose(
        Ticket,
        fields=ticket_fields if has_roles else ("title", "owner", "level", "place", "steps"),
        hidden=("watchers", "secret"),
        show_hidden=is_supervisor,
        read=_may_read_ticket if "predicates" in features else _own_tickets,
    )
    server.expose(
        Note,
        fields=("topic", "color", "score", "data"),
        hidden=("draft",),
        show_hidden=lambda user: "writers" in user.roles,
        read=_notes_by_mapping if "mappings" in features else _notes,
    )
    server.expose(Shipment, fields=("state", "memo", "order", "via"), hidden=("cost",), read=_shipments)
    server.expose(Fence, fields=("number",), read=lambda user: True)


def create_app() -> Flask:
    """Return the application; the environment says what it is like."""
    logging.basicConfig(level=logging.WARNING, format="%(process)d %(name)s %(levelname)s %(message)s")
    mongoengine.connect(host=os.environ[URI], uuidRepresentation="standard", tz_aware=True)
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=SECRET_KEY,
        WSFLASK_MESSAGES_PER_SECOND=1000.0,
        WSFLASK_MESSAGE_BURST=1000,
        WSFLASK_RECONNECT_SPREAD=0.5,
    )
    manager = flask_login.LoginManager(app)
    manager.user_loader(lambda name: Person.objects(pk=name).first())
    broadcaster = BREAKS[os.environ.get(BREAK) or "nothing"](Broadcaster)
    server = WebSocketServer(app, services=[broadcaster])
    _expose(server, chosen(os.environ.get(WITHOUT, "").split(",")))

    @app.get("/")
    def page() -> str:
        return "the walk"

    @app.post("/rights_changed/<name>")
    def rights_changed(name: str) -> ResponseReturnValue:
        server.rights_changed(name)
        return "", 204

    @app.post("/fence/<int:number>")
    def fence(number: int) -> ResponseReturnValue:
        Fence(pk="fence", number=number).save()
        return "", 204

    return app


if URI in os.environ:
    app = create_app()
