"""Who may see what, in what order: scopes, orders, grants and the classes that are exposed."""

from .exposure import Exposure, Exposures
from .grants import ALL, NOTHING, Access, check_grants, parse_grants
from .order import Order, parse_order
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
    "Order",
    "Scope",
    "check_grants",
    "parse_grants",
    "parse_order",
    "parse_scope",
]
