"""A MongoDB server of one's own, started as a child process, for demonstrations and tests."""

from __future__ import annotations

from .binary import find_mongod
from .children import free_port, start_child, stop_child
from .mongod import EmbeddedMongo

__all__ = ["EmbeddedMongo", "find_mongod", "free_port", "start_child", "stop_child"]
