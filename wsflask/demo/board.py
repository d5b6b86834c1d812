"""What a user may ask of the board: the filter, as a query and as a live scope say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .day import airlines
from .models import ACTIVE, ORIGINS, STATUSES, User

__all__ = ["Filter"]


@dataclass(frozen=True, slots=True)
class Filter:
    """Airport, airline and status; an empty string means any, for the status: still to leave."""

    origin: str = ""
    carrier: str = ""
    status: str = ""

    @classmethod
    def from_args(cls, args: Mapping[str, str], user: User) -> Filter:
        """Return the filter of an address; what it does not know it leaves out, and staff keeps to its airline."""
        origin, carrier, status = (args.get(name, "") for name in ("origin", "carrier", "status"))
        return cls(
            origin=origin if origin in ORIGINS else "",
            carrier=(carrier if carrier in airlines() else "") if user.is_supervisor else user.airline,
            status=status if status in (*STATUSES, "all") else "",
        )

    def query(self) -> dict[str, Any]:
        """Return the MongoEngine query."""
        query: dict[str, Any] = {}
        if self.origin:
            query["origin"] = self.origin
        if self.carrier:
            query["carrier"] = self.carrier
        if self.status == "":
            query["status__in"] = ACTIVE
        elif self.status != "all":
            query["status"] = self.status
        return query
