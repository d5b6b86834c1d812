"""One client: what it sends, what is sent to it, whether it lives, why it closed."""

from .connection import Connection, Handler
from .counts import Counts
from .outflow import Outflow
from .outgoing import State

__all__ = ["Connection", "Counts", "Handler", "Outflow", "State"]
