"""Which database a command works on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import click
import mongoengine
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from ..errors import ConfigError
from .places import cache_folder, running_demo_uri

__all__ = ["DEMO_DATABASE", "connect", "find_uri", "mongodb_option", "redacted"]

#: The database of the demonstration, and of a URI that names none.
DEMO_DATABASE = "wsflask_demo"
#: Milliseconds to look for the server: a command says soon that it is not there.
_LOOK_MS = 5000


def mongodb_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option --mongodb-uri, which is also WSFLASK_MONGODB_URI."""
    option = click.option(
        "--mongodb-uri",
        metavar="URI",
        envvar="WSFLASK_MONGODB_URI",
        help="Database, such as mongodb://host/name. [env: WSFLASK_MONGODB_URI]",
    )
    return option(command)


def find_uri(given: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the URI that was given, else that of the running demonstration, else None."""
    return given or running_demo_uri(cache_folder(environ))


def connect(uri: str) -> Any:
    """Connect MongoEngine's default alias to `uri`, and return the client once the server has answered.

    Raises:
        ConfigError: the URI is wrong, or nothing answers there.
    """
    try:
        name = parse_uri(uri, validate=False, warn=False)["database"] or DEMO_DATABASE
        client = mongoengine.connect(name, host=uri, tz_aware=True, serverSelectionTimeoutMS=_LOOK_MS)
        client.admin.command("ping")
    except (PyMongoError, ValueError) as error:
        mongoengine.disconnect_all()
        raise ConfigError(f"the database {redacted(uri)} cannot be reached: {reason(error)}") from None
    return client


def reason(error: Exception) -> str:
    """Return the first sentence of a driver's error, without what it repeats."""
    return redacted(str(error).split(", Timeout:")[0].split(" (configured timeouts")[0])


def redacted(text: str) -> str:
    """Return the text with the users, passwords and options of its URIs left out."""
    without_login = re.sub(r"://[^/@\s]*@", "://…@", text)
    return re.sub(r"(mongodb(?:\+srv)?://[^\s?]*)\?\S*", r"\1", without_login)
