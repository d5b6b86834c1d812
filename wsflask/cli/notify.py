"""`wsflask notify`: save a notification, which every worker then sends."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click
import mongoengine
from pymongo.errors import PyMongoError
from werkzeug.utils import import_string

from ..config import Settings
from ..documents import Notification
from ..errors import ConfigError
from ..services.notifier import Notifier
from .databases import connect, find_uri, mongodb_option, reason
from .web import check_target
from .worker import call_in_worker

__all__ = ["notify", "save_in_app"]

_EXAMPLES = """\b
Examples:
  wsflask notify --to everyone "The desk closes at ten"
  wsflask notify --to united --category warning "Gate C71 is closed"
  wsflask notify --to user:5 --to group:pilots --app wsgi:app "Briefing in room 4"
"""


@click.command(epilog=_EXAMPLES, short_help="Send a notification.")
@click.argument("text")
@click.option("--to", multiple=True, required=True, metavar="WHOM", help="everyone, user:ID, group:NAME, or an ID.")
@click.option("--category", metavar="NAME", help="A label such as success or warning, or its integer.")
@click.option("--app", "target", metavar="MODULE:APP", help="Use this application's own database and labels.")
@mongodb_option
def notify(text: str, to: tuple[str, ...], category: str | None, target: str | None, mongodb_uri: str | None) -> None:
    """Notify users: TEXT appears in all their windows.

    The database is that of --app, else of --mongodb-uri, else of the demonstration that runs.
    """
    recipients = _recipients(to)
    if target:
        call_in_worker(check_target(target), __name__, save_in_app.__name__, text, category, recipients)
    else:
        uri = find_uri(mongodb_uri, os.environ)
        if uri is None:
            raise ConfigError("no database: no demonstration runs; give --app, or set WSFLASK_MONGODB_URI")
        connect(uri)
        try:
            _save(text, category, recipients, Settings())
        finally:
            mongoengine.disconnect_all()
    click.echo(f"Saved for {', '.join(to)}")


def save_in_app(target: str, text: str, category: str | None, recipients: dict[str, Any]) -> None:
    """Save a notification through the connection of the application `target`."""
    server = import_string(target).extensions.get("wsflask")
    _save(text, category, recipients, server.settings if server is not None else Settings())


def _save(text: str, category: str | None, recipients: Mapping[str, Any], settings: Settings) -> None:
    number = _category(category, settings)
    try:
        Notifier.notify(Notification(message=text, category=number, **recipients))
    except mongoengine.ValidationError as error:
        raise ConfigError(f"the notification is not valid: {error}") from None
    except PyMongoError as error:
        raise ConfigError(f"the notification was not saved: {reason(error)}") from None


def _category(given: str | None, settings: Settings) -> int:
    if given is None:
        return settings.notification_default_category
    for number, label in settings.notification_labels.items():
        if given == label or given == str(number):
            return number
    labels = ", ".join(settings.notification_labels.values())
    raise ConfigError(f"there is no category {given!r}; the categories are {labels}")


def _recipients(to: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a notification that say whom it goes to."""
    users: list[str] = []
    groups: list[str] = []
    for whom in to:
        kind, separator, name = whom.partition(":")
        if whom == "everyone":
            continue
        if not separator:
            users.append(whom)
        elif name and kind in ("user", "group"):
            (users if kind == "user" else groups).append(name)
        else:
            raise click.BadParameter(f"{whom!r} is none of: everyone, user:ID, group:NAME, ID", param_hint="--to")
    return {"everyone": "everyone" in to, "users": users, "groups": groups}
