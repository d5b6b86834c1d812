"""The demo: an airport's departures desk."""

from .app import create_app
from .seeding import seed

__all__ = ["create_app", "seed"]
