"""Trouble for tests: a proxy that misbehaves, a replica set that fails, and a judge of what got through."""

from __future__ import annotations

from .boards import BoardTab, Command, Step, judge_boards
from .deliveries import Tab, Verdict, Written, judge, latencies
from .proxy import Faults, Passed, Proxy
from .replica_set import ReplicaSet
from .talking import TalkingChild

__all__ = [
    "BoardTab",
    "Command",
    "Faults",
    "Passed",
    "Proxy",
    "ReplicaSet",
    "Step",
    "Tab",
    "TalkingChild",
    "Verdict",
    "Written",
    "judge",
    "judge_boards",
    "latencies",
]
