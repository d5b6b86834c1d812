"""What changed rows refer to, loaded for a batch of changes."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pymongo.errors import PyMongoError

from ..feed.base import Change
from .references import References
from .view import View

__all__ = ["loaded_references"]

_log = logging.getLogger(__name__)


def loaded_references(wanted: Sequence[tuple[View, Change]], timeout: float) -> References:
    """Return what the rows show that the changes may make in the views, as far as the database tells. May switch.

    Args:
        timeout: seconds one query may take.
    """
    references = References()
    try:
        references.load(lambda found: (view.missing(change, found) for view, change in wanted), timeout)
    except PyMongoError as error:
        _log.warning("what changed rows refer to could not be loaded: %s", type(error).__name__)
    return references
