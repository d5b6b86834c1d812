"""What it is in a right, or in a scope, that lets a document be seen or not, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..encoding import to_json_value
from .exposure import Exposure
from .grants import scope_of_grant
from .paths import leaves
from .readers import Judgement, contents, is_grants
from .scope import Condition, Scope

__all__ = ["because", "failing", "right_of", "told_of"]

#: Grants and scopes that are told of one by one, and characters of a value or of an error.
_MOST, _LONGEST = 10, 120


def because(exposure: Exposure, judgement: Judgement) -> tuple[str, tuple[str, ...]]:
    """Return why nothing may be read: a sentence, and particulars."""
    error, given = judgement.error, contents(judgement.given)
    if error is not None and given is None:
        return f"read raised {told_of(error)}", ()
    if error is not None:
        return f"read returned {_shown_python(given)}, which is no right: {told_of(error)}", ()
    if exposure.read is None:
        return "the class is exposed without read, so nobody reads anything", ()
    if isinstance(given, list | tuple) and given and is_grants(given):
        return f"no grant is for reading {exposure.name}", _limited(_grant_lines(exposure, given, None))
    return f"read returned {_shown_python(given)}: nothing may be read", ()


def right_of(
    exposure: Exposure, judgement: Judgement, raw: Mapping[str, Any]
) -> tuple[bool, str, tuple[str, ...]]:
    """Return whether the right lets the raw document be read, with a sentence that says why, and particulars."""
    access, given = judgement.access, contents(judgement.given)
    if access.predicate is not None:
        return _asked(exposure, judgement, raw)
    is_allowed = access.matches(raw)
    if given is True:
        return is_allowed, "read returned True: every document may be read", ()
    if isinstance(given, list | tuple) and is_grants(given):
        fitting = [grant for grant in given if _matches(exposure, grant, raw)]
        if fitting:
            return is_allowed, f"a grant is for it: {fitting[0]['obj']}", ()
        return is_allowed, "no grant is for it", _limited(_grant_lines(exposure, given, raw))
    matching = [scope for scope in access.alternatives if scope.matches(raw)]
    if matching:
        return is_allowed, f"it meets {_scope_text(matching[0])}", ()
    if len(access.alternatives) == 1:
        first, *others = failing(access.alternatives[0], raw)
        return is_allowed, f"read wants {first}", tuple(others)
    lines = ("; ".join(failing(scope, raw)) for scope in access.alternatives)
    return is_allowed, "it meets none of the scopes that read returned", _limited(lines)


def failing(scope: Scope, raw: Mapping[str, Any]) -> list[str]:
    """Return the conditions that the raw document does not meet, each with what it has instead."""
    return [
        f"{_condition_text(condition)}, and the document has {_found(raw, condition.field)}"
        for condition in scope.conditions
        if not condition.matches(raw)
    ]


def _asked(exposure: Exposure, judgement: Judgement, raw: Mapping[str, Any]) -> tuple[bool, str, tuple[str, ...]]:
    predicate = judgement.access.predicate
    assert predicate is not None
    name = getattr(exposure.read, "__name__", type(exposure.read).__name__)
    try:
        answer = predicate.ask(raw)
    except Exception as error:
        return False, f"the predicate {name} raised {told_of(error)}", ()
    more = () if isinstance(answer, bool) else ("only True allows",)
    return answer is True, f"the predicate {name} returned {_shown_python(answer)}", more


def _matches(exposure: Exposure, grant: Any, raw: Mapping[str, Any]) -> bool:
    try:
        scope = scope_of_grant(grant, exposure.name, exposure.key_sets)
    except ValueError:
        return False
    return scope is not None and scope.matches(raw)


def _grant_lines(exposure: Exposure, grants: Any, raw: Mapping[str, Any] | None) -> Iterator[str]:
    for grant in grants:
        obj, act = (grant.get("obj"), grant.get("act")) if isinstance(grant, Mapping) else (grant, None)
        try:
            scope = scope_of_grant(grant, exposure.name, exposure.key_sets)
        except ValueError as error:
            yield f"{obj}: cannot be understood, {error}"
            continue
        if scope is None:
            yield f"{obj}: is for something else, or does not grant reading ({act})"
        elif raw is not None:
            yield f"{obj}: {'; '.join(failing(scope, raw))}"


def _limited(lines: Iterator[str]) -> tuple[str, ...]:
    told = list(lines)
    return (*told[:_MOST], f"and {len(told) - _MOST} more") if len(told) > _MOST else tuple(told)


def _scope_text(scope: Scope) -> str:
    return " and ".join(map(_condition_text, scope.conditions)) or "every condition, for there is none"


def _condition_text(condition: Condition) -> str:
    wire = condition.to_wire()
    return f"{wire['fn']} {wire['op']} {_text(wire['val'])}"


def _found(raw: Mapping[str, Any], path: str) -> str:
    """Return what a condition on this path is asked about; a missing field is null."""
    found = [to_json_value(value) for value in leaves(raw, path.split("."))]
    return _text(found[0] if len(found) == 1 else found)


def told_of(error: Exception) -> str:
    """Return what was raised, on one line."""
    return _printable(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)


def _shown_python(value: Any) -> str:
    return _printable(repr(value))


def _text(value: Any) -> str:
    return _printable(json.dumps(value, ensure_ascii=False))


def _printable(text: str) -> str:
    """Return the text on one line, cut where it is long, and without what a terminal would obey."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"
