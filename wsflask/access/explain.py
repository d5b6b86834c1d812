"""Why a user sees a document, or does not: told by what decides it, in words for an operator's eyes only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import Refusal
from .exposure import Exposure, Exposures
from .names import KEY
from .reasons import because, failing, right_of, told_of

__all__ = ["Explanation", "Step", "explain"]

#: Whether a step lets the document be seen; None: it does not decide.
Verdict = Literal["yes", "no", "-"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    text: str
    #: Particulars, a line each.
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Whether the user sees the document, and all that was looked at, in this order."""

    steps: tuple[Step, ...]

    @property
    def sees(self) -> bool:
        """Whether every step lets the document be seen."""
        return all(step.verdict != "no" for step in self.steps)

    @property
    def reason(self) -> str:
        """What the first step says that does not let it be seen; else what lets it, or the field, be seen."""
        texts = {step.name: step.text for step in self.steps}
        against = next((step.text for step in self.steps if step.verdict == "no"), "")
        return against or texts.get("field") or texts["right"]


def explain(
    exposures: Exposures,
    name: str,
    user: Any,
    raw: Mapping[str, Any] | None,
    *,
    scope: Any = None,
    field: str | None = None,
    max_conditions: int = 20,
    max_values: int = 1000,
) -> Explanation:
    """Judge one document for one user, step by step. May switch.

    It holds values of the document, seen by the user or not: nothing of it is for a client, or for a log.

    Args:
        name: the class on the wire.
        user: as Flask-Login loads him; None where it knows none.
        raw: the document as MongoDB has it; None where there is none.
        scope: what a client asks for.
        field: whether the user sees this one of the document.
        max_conditions: conditions that the client may ask for.
        max_values: values that an `in` of his may list.
    """
    exposure = exposures.get(name)
    if exposure is None:
        return Explanation((_unexposed_step(exposures, name),))
    steps = [_class_step(exposure), _user_step(exposure, user), _document_step(exposure, raw)]
    if steps[1].verdict == "yes":
        steps += [
            _right_step(exposure, user, raw),
            _scope_step(exposure, user, raw, scope, max_conditions=max_conditions, max_values=max_values),
        ]
        steps.append(_fields_step(exposure, user) if field is None else _field_step(exposure, user, field))
    return Explanation(tuple(steps))


def _unexposed_step(exposures: Exposures, name: str) -> Step:
    others = sorted(exposure.name for exposure in exposures if exposure.document_class.__name__ == name)
    if others:
        return Step("class", "no", f"{name} is exposed under another name: {', '.join(others)}")
    known = ", ".join(sorted(exposure.name for exposure in exposures))
    return Step("class", "no", f"{name} is not exposed", (f"exposed are: {known or 'none'}",))


def _class_step(exposure: Exposure) -> Step:
    hidden = f"; hidden: {', '.join(exposure.hidden)}" if exposure.hidden else ""
    return Step("class", "yes", f"{exposure.name} is exposed with {', '.join(exposure.fields) or 'no field'}{hidden}")


def _user_step(exposure: Exposure, user: Any) -> Step:
    if user is None:
        return Step("user", "no", "the user loader knows no such user")
    if getattr(user, "is_authenticated", True) is not True:
        return Step("user", "no", "the user is not signed in")
    if not getattr(user, "is_active", True):
        return Step("user", "no", "the user is not active, so every connection is refused or closed")
    groups = ", ".join(sorted(exposure.shown.roles_of(user)))
    return Step("user", "yes", f"active, {f'in the groups {groups}' if groups else 'in no group'}")


def _document_step(exposure: Exposure, raw: Mapping[str, Any] | None) -> Step:
    if raw is None:
        return Step("document", "no", f"no document with this key is in the collection {exposure.collection}")
    found = raw.get("_cls")
    if not exposure.type_scope.matches(raw):
        return Step("document", "no", f"the document is a {found or 'base class'}, which is no {exposure.name}")
    return Step("document", "yes", f"found in the collection {exposure.collection}{f', as {found}' if found else ''}")


def _right_step(exposure: Exposure, user: Any, raw: Mapping[str, Any] | None) -> Step:
    judgement = exposure.judge(user)
    if judgement.access.is_empty:
        return Step("right", "no", *because(exposure, judgement))
    if raw is None:
        return Step("right", "-", "there is no document to judge")
    is_allowed, text, more = right_of(exposure, judgement, raw)
    return Step("right", "yes" if is_allowed else "no", text, more)


def _scope_step(exposure: Exposure, user: Any, raw: Mapping[str, Any] | None, data: Any, **limits: int) -> Step:
    if data is None:
        return Step("scope", "-", "none is asked for")
    seen = exposure.fields_for(user, show_hidden=True)
    try:
        scope = exposure.parse_scope(data, seen, **limits)
    except Refusal as refusal:
        known = {*seen, KEY, exposure.names.key_attribute}
        unseen = [name for name in _names_in(data) if name not in known]
        told = f"the user does not see {', '.join(unseen)}" if unseen else refusal.reason
        return Step("scope", "no", f"the subscription is refused ({refusal.code}): {told}")
    if raw is None:
        return Step("scope", "-", "there is no document to judge")
    wrong = failing(scope, raw)
    if wrong:
        return Step("scope", "no", f"out of the scope: {wrong[0]}", tuple(wrong[1:]))
    return Step("scope", "yes", "the document is in it")


def _names_in(data: Any) -> list[str]:
    """Return the fields that a scope names, without what it names in them."""
    if isinstance(data, Mapping):
        names = list(data)
    else:
        names = [item.get("fn") for item in data if isinstance(item, Mapping)] if isinstance(data, list) else []
    return list(dict.fromkeys(str(name).partition(".")[0] for name in names))


def _fields_step(exposure: Exposure, user: Any) -> Step:
    seen = exposure.in_order(exposure.fields_for(user))
    unseen = [name for name in (*exposure.fields, *exposure.hidden) if name not in seen]
    more = tuple(_field_step(exposure, user, name).text for name in unseen)
    return Step("fields", "-", f"shown are {', '.join((KEY, *seen))}", more)


def _field_step(exposure: Exposure, user: Any, path: str) -> Step:
    name = path.partition(".")[0]
    if name in (KEY, exposure.names.key_attribute):
        return Step("field", "yes", "the key always comes along")
    if name in exposure.fields_for(user):
        return Step("field", "yes", f"{name} is shown")
    if name not in exposure.names:
        return Step("field", "no", f"the class has no field {name}")
    if name in exposure.hidden:
        if exposure.may_see_hidden(user):
            return Step("field", "yes", f"{name} is hidden; it is shown when the client asks for show_hidden")
        return Step("field", "no", f"{name} is hidden, and show_hidden does not allow this user")
    if exposure.shown.is_function:
        return Step("field", "no", _why_not_told(exposure, user, name))
    roles = sorted(role for role, names in exposure.shown.by_role.items() if name in names)
    if roles:
        return Step("field", "no", f"{name} is for {', '.join(roles)}, and the user is in none of these groups")
    return Step("field", "no", f"{name} is not exposed")


def _why_not_told(exposure: Exposure, user: Any, name: str) -> str:
    try:
        exposure.shown.ask(user)
    except Exception as error:
        return f"{name} is not shown, for the function fields failed: {told_of(error)}"
    return f"{name} is not among what the function fields returns for this user"
