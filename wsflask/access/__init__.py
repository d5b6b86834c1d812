"""Who may see what: scopes, grants and the classes that are exposed."""

from .exposure import Exposure, Exposures
from .grants import ALL, NOTHING, Access, check_grants, parse_grants
from .scope import EVERYTHING, OPERATORS, Condition, Scope, parse_scope

__all__ = [
    "ALL",
    "EVERYTHING",
    "NOTHING",
    "OPERATORS",
    "Access",
    "Condition",
    "Exposure",
    "Exposures",
    "Scope",
    "check_grants",
    "parse_grants",
    "parse_scope",
]
