"""Who may read which documents of a class: the option `read`, in each of its forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ConfigError
from .grants import ALL, NOTHING, Access, check_grants, parse_grants
from .names import KEY
from .options import count_parameters
from .predicate import Predicate
from .scope import EVERYTHING, Scope

if TYPE_CHECKING:
    from .exposure import Exposure

__all__ = ["Judgement", "Read", "access_from", "checked_read", "contents", "form_of", "is_grants", "judge"]

#: A list of grants, a function of the user, or a predicate: a function of the user and a document.
Read = Callable[..., Any] | Sequence[Any] | Mapping[str, Any] | None
#: What a `read` is: a right for everybody, a function of the user, or one of the user and a document.
Form = Literal["everybody", "user", "document"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a user may read of a class, and why."""

    access: Access
    #: What `read` is, or what its function returned.
    given: Any = None
    #: Why it denies: what the function raised, or what is wrong with what it returned.
    error: Exception | None = None


def form_of(read: Read, class_name: str) -> Form:
    """Return what this `read` is.

    Raises:
        ConfigError: it is a function whose parameters are not clear.
    """
    if not callable(read):
        return "everybody"
    return "document" if count_parameters(read, f"expose({class_name}): read", most=2) == 2 else "user"


def checked_read(exposure: Exposure, read: Read) -> Read:
    """Return the `read` of an exposure.

    Raises:
        ConfigError: it is no list and no function, or one of the grants is wrong.
    """
    if read is None or callable(read):
        return read
    grants = contents(read)
    if not isinstance(grants, list | tuple):
        raise ConfigError(
            f"expose({exposure.name}): read is a list of grants, a function of the user, or one of user and document"
        )
    check_grants(grants, exposure.name, exposure.key_sets)
    return tuple(grants)


def judge(exposure: Exposure, read: Read, form: Form, user: Any) -> Judgement:
    """Return what the user may read by this `read`; a function that raises denies. May switch."""
    if user is None or getattr(user, "is_authenticated", True) is not True:
        return Judgement(NOTHING)
    given: Any = None
    try:
        if form == "document":
            assert callable(read)
            return Judgement(Access([EVERYTHING], Predicate(exposure, read, user)))
        given = read(user) if callable(read) else read
        return Judgement(access_from(exposure, given), given)
    except Exception as error:
        return Judgement(NOTHING, given, error)


def access_from(exposure: Exposure, given: Any) -> Access:
    """Return the right that `read` gives: True, False or None, grants, a scope, alternative scopes.

    Raises:
        Exception: it is none of these.
    """
    if given is True:
        return ALL
    if given is None or given is False:
        return NOTHING
    if isinstance(given, Access):
        return given
    if isinstance(given, Scope):
        return Access([given])
    given = contents(given)
    if isinstance(given, Mapping):
        return Access([_own_scope(exposure, given)])
    if not isinstance(given, list | tuple):
        raise TypeError(f"read gives True, False, grants or scopes, not {type(given).__name__}")
    if not given:
        return NOTHING
    if is_grants(given):
        return parse_grants(given, exposure.name, exposure.key_sets)
    if isinstance(given[0], Mapping) and "fn" in given[0]:
        return Access([_own_scope(exposure, given)])
    return Access(item if isinstance(item, Scope) else _own_scope(exposure, item) for item in given)


def is_grants(given: Any) -> bool:
    """Return whether this list is one of grants: they have `obj` or `act`, which conditions have not."""
    return any(isinstance(item, Mapping) and item and item.keys() <= {"obj", "act"} for item in given)


def contents(given: Any) -> Any:
    """Return the list in the older system's `{"content": […]}`; a scope over a field of that name holds no list."""
    if isinstance(given, Mapping) and given.keys() == {"content"} and isinstance(given["content"], list | tuple):
        return given["content"]
    return given


def _own_scope(exposure: Exposure, conditions: Any) -> Scope:
    """Return the scope that an application wrote: over any field of the class, exposed or not."""
    if not conditions:
        raise ValueError("a scope that read gives has conditions; return True to allow everything")
    asked = conditions if isinstance(conditions, Mapping) else [item.get("fn") for item in conditions]
    names = {str(name).partition(".")[0] for name in asked} - {KEY}
    own = [name for name in names if name in exposure.names]
    return exposure.parse_scope(conditions, own, max_conditions=1000, max_values=100_000)
