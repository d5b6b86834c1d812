"""Who is here: the service, who is in the rooms, and the stores that all workers share."""

from .service import Presence

__all__ = ["Presence"]
