"""An application with commands, whose worker may be killed when one is in the database and not yet answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mongoengine import Document, IntField, StringField

from wsflask.connection import Connection
from wsflask.documents import mark_all_read
from wsflask.ledger import Ledger
from wsflask.service import Service
from wsflask.services import notifier
from wsflask.services.clipboard import Clipboard
from wsflask.services.clipboard_store import ClipboardStore
from wsflask.services.notifier import Notifier

from .echo import URI, create_app

__all__ = ["KILL", "Order", "Shop", "Stock"]

#: The file whose presence has the next command's worker killed.
KILL = "SHOP_KILL"


class Order(Document):
    """What was ordered, and by whom."""

    meta = {"collection": "shop_orders", "indexes": ["user"]}

    user = StringField()
    item = StringField()


class Stock(Document):
    """How many there are of a thing."""

    meta = {"collection": "shop_stocks"}

    item = StringField(primary_key=True)
    left = IntField()


class Shop(Service):
    """Takes orders: each is one, and takes one thing from the stock."""

    channel = "shop"

    def on_message(self, ws: Connection, user: Any, message: Any) -> Any:
        return self.once(ws, message, lambda: self.order(ws.user_id, message["item"]))

    def order(self, user_id: str, item: str) -> dict[str, Any]:
        """Note an order."""
        Stock.objects(item=item).update_one(inc__left=-1, upsert=True)
        return {"ordered": Order(user=user_id, item=item).save().id}


def dying_after(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function, but have it kill the process when it has returned, if the file is there."""

    def called(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if Path(os.environ[KILL]).exists():
            Path(os.environ[KILL]).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return called


if URI in os.environ:
    Ledger.once = dying_after(Ledger.once)  # type: ignore[method-assign]
    ClipboardStore.command = dying_after(ClipboardStore.command)  # type: ignore[method-assign]
    vars(notifier)["mark_all_read"] = dying_after(mark_all_read)
    app = create_app(Notifier, Clipboard, Shop)
