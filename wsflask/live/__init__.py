"""Live views of documents."""

from .broadcaster import Broadcaster

__all__ = ["Broadcaster"]
