"""`wsflask explain`: say why a user sees a document, or does not."""

from __future__ import annotations

import json
from typing import Any

import click
import mongoengine
import pymongo
from flask import Flask
from mongoengine.errors import NotRegistered
from pymongo import ReadPreference
from pymongo.errors import PyMongoError
from werkzeug.utils import import_string

from ..access.explain import Explanation, explain
from ..access.exposure import Exposure, Exposures
from ..access.names import KEY
from ..access.scope import Condition
from ..errors import ConfigError
from ..feed.positions import position_of
from .databases import reason
from .web import check_target
from .worker import call_in_worker

__all__ = ["explain_document", "judge_in_app", "lines_of"]

_EXAMPLES = """\b
Examples:
  wsflask explain --app wsgi:app --user ann --class Order --id 1001
  wsflask explain --app wsgi:app --user ann --class Order --id 1001 --field cost
  wsflask explain --app wsgi:app --user ann --class Order --id 1001 \\
      --scope '{"status": "open"}'
"""

#: Exit status; 0 is for sees.
_DOES_NOT_SEE = 1
_COLORS = {"yes": "green", "no": "red", "-": None}


class _CannotTell(click.ClickException):
    """Neither yes nor no."""

    exit_code = 2


@click.command("explain", epilog=_EXAMPLES, short_help="Say why a user sees a document, or not.")
@click.option("--app", "target", required=True, metavar="MODULE:APP", help="The application, with its own database.")
@click.option("--user", required=True, metavar="ID", help="The user's id, as Flask-Login's user loader gets it.")
@click.option("--class", "class_name", required=True, metavar="NAME", help="The class, as clients call it.")
@click.option("--id", "identity", required=True, metavar="ID", help="The document's primary key.")
@click.option("--scope", metavar="JSON", help="What the client asks for.")
@click.option("--field", metavar="NAME", help="Tell whether the user sees this field of it.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object.")
def explain_document(
    target: str, user: str, class_name: str, identity: str, scope: str | None, field: str | None, *, is_json: bool
) -> None:
    """Judge one document for one user as the server does, and say what decides.

    The first line says whether the user sees it, and why. The exit status is 0 when he does, 1 when he does not, and
    2 when it could not be told. What is printed holds values of the document: show it to nobody who may not see it.
    """
    question = {"user": user, "class_name": class_name, "identity": identity, "scope": _scope(scope), "field": field}
    try:
        answer = call_in_worker(check_target(target), __name__, judge_in_app.__name__, question).value
        if "error" in answer:
            raise ConfigError(answer["error"])
    except ConfigError as error:
        raise _CannotTell(str(error)) from error
    for line in [json.dumps(answer)] if is_json else lines_of(answer):
        click.echo(line)
    if not answer["sees"]:
        raise click.exceptions.Exit(_DOES_NOT_SEE)


def lines_of(answer: dict[str, Any]) -> list[str]:
    """Return what is printed for an answer of `judge_in_app`."""
    lines = [f"{'sees' if answer['sees'] else 'does not see'}: {answer['reason']}", ""]
    for step in answer["steps"]:
        verdict = click.style(f"{step['verdict']:3}", fg=_COLORS[step["verdict"]])
        lines.append(f"  {step['name']:8}  {verdict}  {step['text']}")
        lines += [f"{'':17}{line}" for line in step["more"]]
    return lines


def judge_in_app(target: str, question: dict[str, Any]) -> dict[str, Any]:
    """Judge within the application `target`; return the explanation, or `error` where there is none."""
    app = import_string(target)
    server = app.extensions.get("wsflask")
    if server is None:
        return {"error": f"{target} has no WebSocketServer; register it: app.register_blueprint(server.blueprint)"}
    try:
        with app.app_context(), pymongo.timeout(server.settings.database_timeout):
            return _answer(app, server, **question)
    except (ConfigError, PyMongoError, mongoengine.connection.ConnectionFailure) as error:
        return {"error": str(error) if isinstance(error, ConfigError) else f"the database: {reason(error)}"}


def _answer(
    app: Flask, server: Any, user: str, class_name: str, identity: str, scope: Any, field: str | None
) -> dict[str, Any]:
    exposure = server.exposures.get(class_name)
    raw, position = None, ""
    if exposure is not None:
        raw, position = _read(exposure, _key(exposure, identity))
    elif not _is_document(class_name):
        raise ConfigError(_unknown(server.exposures, class_name))
    found = explain(
        server.exposures,
        class_name,
        _load_user(app, user),
        raw,
        scope=scope,
        field=field,
        max_conditions=server.settings.scope_max_conditions,
        max_values=server.settings.scope_max_values,
    )
    return _as_json(found, position if exposure is not None else None)


def _as_json(found: Explanation, position: str | None) -> dict[str, Any]:
    steps = [
        {"name": step.name, "verdict": step.verdict, "text": step.text, "more": list(step.more)}
        for step in found.steps
    ]
    if position is not None:
        text = position or "none: a standalone server keeps no history"
        steps.append({"name": "position", "verdict": "-", "text": text, "more": []})
    return {"sees": found.sees, "reason": found.reason, "steps": steps}


def _read(exposure: Exposure, key: Any) -> tuple[dict[str, Any] | None, str]:
    """Return the document as it is, and the position in the database's history at which it was so."""
    collection = exposure.document_class._get_collection().with_options(read_preference=ReadPreference.PRIMARY)
    query = Condition(KEY, "==", key).to_query()
    with collection.database.client.start_session() as session:
        raw = collection.find_one(query, session=session, collation={"locale": "simple"})
        time = session.operation_time
    return raw, "" if time is None else position_of(time)


def _key(exposure: Exposure, identity: str) -> Any:
    try:
        return exposure.names.filter_field(KEY).from_text(identity)
    except (TypeError, ValueError, ArithmeticError):
        kind = type(exposure.names.field(KEY)).__name__
        raise ConfigError(f"{identity!r} is no key of {exposure.name}: its key is of the type {kind}") from None


def _load_user(app: Flask, user_id: str) -> Any:
    loader = getattr(getattr(app, "login_manager", None), "_user_callback", None)
    if loader is None:
        raise ConfigError("the application has no user loader; write one with @login_manager.user_loader")
    try:
        return loader(user_id)
    except Exception as error:
        raise ConfigError(f"the user loader raised {type(error).__name__} for {user_id!r}: {error}") from error


def _is_document(class_name: str) -> bool:
    try:
        return bool(mongoengine.base.get_document(class_name))
    except NotRegistered:
        return False


def _unknown(exposures: Exposures, class_name: str) -> str:
    known = ", ".join(sorted(exposure.name for exposure in exposures))
    return f"there is no class {class_name!r}; exposed are: {known or 'none'}"


def _scope(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"this is not JSON: {error}", param_hint="--scope") from None
