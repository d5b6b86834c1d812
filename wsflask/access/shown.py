"""Which of a class's fields a user sees: the option `fields`, in each of its forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import ConfigError
from .names import KEY, FieldNames
from .options import Complaints, count_parameters

__all__ = ["EVERYBODY", "Fields", "Groups", "Shown"]

#: Names for everybody, a function of the user that returns names, or role to names.
Fields = Iterable[str] | Callable[[Any], Iterable[str]] | Mapping[str, Iterable[str]]
#: Function of a user that returns the names of his groups.
Groups = Callable[[Any], Iterable[str]]

#: The role that every user has.
EVERYBODY = "*"


class Shown:
    """The option `fields` of one exposure.

    Args:
        class_name: the class's name on the wire.
        names: the class's fields.
        fields: the option.
        groups: the groups of a user are his roles.
        complaints: where faults of the application's functions are told.

    Raises:
        ConfigError: the option cannot be understood, or names what the class does not declare.
    """

    def __init__(
        self, class_name: str, names: FieldNames, fields: Fields, groups: Groups, complaints: Complaints
    ) -> None:
        self._class_name = class_name
        self._names = names
        self._groups = groups
        self._complaints = complaints
        self._function: Callable[[Any], Iterable[str]] | None = None
        #: Role to the names that are shown to it.
        self.by_role: dict[str, tuple[str, ...]] = {}
        if isinstance(fields, Mapping):
            self.by_role = {self._role(role): names.checked(f"fields[{role!r}]", fields[role]) for role in fields}
        elif callable(fields):
            count_parameters(fields, f"expose({class_name}): fields")
            self._function = fields
        else:
            self.by_role = {EVERYBODY: names.checked("fields", fields)}
        #: Every name that somebody may see, in the order in which rows have them.
        self.possible: tuple[str, ...] = tuple(
            dict.fromkeys(name for found in self.by_role.values() for name in found)
            if self._function is None
            else (name for name in names if name not in (KEY, names.key_attribute))
        )

    @property
    def everybody(self) -> frozenset[str]:
        """What is shown to everybody, whoever he is."""
        return frozenset(self.by_role.get(EVERYBODY, ()))

    @property
    def is_function(self) -> bool:
        """Whether a function says what is shown."""
        return self._function is not None

    def names_for(self, user: Any) -> frozenset[str]:
        """Return what is shown to the user; a function that raises shows nothing, and is logged. May switch."""
        if self._function is not None:
            return self._told(user)
        if self.by_role.keys() <= {EVERYBODY}:
            return self.everybody
        shown = set(self.everybody)
        for role in self.roles_of(user):
            shown.update(self.by_role.get(role, ()))
        return frozenset(shown)

    def roles_of(self, user: Any) -> frozenset[str]:
        """Return the user's groups; where they cannot be had he is in none, and that is logged."""
        try:
            return frozenset(map(str, self._groups(user)))
        except Exception as error:
            self._complaints.error("the groups of a user of %s failed: none counts", self._class_name, error=error)
            return frozenset()

    def ask(self, user: Any) -> frozenset[Any]:
        """Return what the function says, whatever it is.

        Raises:
            Exception: it raises, or returns no list of names.
        """
        found = self._function(user) if self._function is not None else None
        if isinstance(found, str | Mapping):
            raise TypeError(f"fields returns a list of names, not a {type(found).__name__}")
        return frozenset(() if found is None else found)

    def _told(self, user: Any) -> frozenset[str]:
        try:
            told = self.ask(user)
        except Exception as error:
            self._complaints.error("fields of %s failed and shows nothing", self._class_name, error=error)
            return frozenset()
        known = frozenset(name for name in told if isinstance(name, str) and name in self._names)
        if told - known - {KEY}:
            self._complaints.warning("fields of %s returns names that the class does not declare", self._class_name)
        return known - {KEY}

    def _role(self, role: Any) -> str:
        if not isinstance(role, str):
            raise ConfigError(f"expose({self._class_name}): fields has the role {role!r}; roles are names of groups")
        return role
