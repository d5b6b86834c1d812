"""A predicate: the application's own yes or no to one document for one user."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import bson
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from mongoengine import Document

if TYPE_CHECKING:
    from .exposure import Exposure

__all__ = ["Predicate"]

_CODEC: CodecOptions[Any] = CodecOptions(uuid_representation=UuidRepresentation.STANDARD)
#: What MongoEngine itself keeps in a document's `__dict__`.
_OWN = frozenset({"_cls", "_dynamic_lock", "_fields_ordered"})
#: Goes with an object's address, which means something in this process only.
_PROCESS = secrets.token_hex(4)


class Predicate:
    """A function `(user, document)` with its user: only True allows, and one that raises denies.

    Args:
        exposure: the class whose documents are judged.
        function: the application's; it gets a MongoEngine document.
        user: whom it is asked about.
    """

    __slots__ = ("_exposure", "_function", "_user", "key")

    def __init__(self, exposure: Exposure, function: Callable[[Any, Any], Any], user: Any) -> None:
        self._exposure = exposure
        self._function = function
        self._user = user
        whose = json.dumps(str(user.get_id()))
        which = "" if function is exposure.read else _name_of(function)
        #: A text that is equal only for the same function about the same user in the same state: a user who is
        #: loaded again after he was changed is another one, for the function may look at anything of him.
        self.key = f"predicate {which} {whose} {_state_of(user)}"

    def allows(self, raw: Mapping[str, Any]) -> bool:
        """Return whether the user may read the raw document; a failure is logged, seldom, and denies."""
        try:
            return self.ask(raw) is True
        except Exception as error:
            name = self._exposure.name
            self._exposure.complaints.error("read of %s failed for a document and denies", name, error=error)
            return False

    def ask(self, raw: Mapping[str, Any]) -> Any:
        """Return what the function says of the raw document.

        Raises:
            Exception: whatever the function raises, or the raw document is none of the class.
        """
        document_class = self._exposure.document_class
        document = document_class._from_son(dict(raw))
        if not isinstance(document, document_class):
            raise TypeError(f"a {type(document).__name__} is no {document_class.__name__}")
        return self._function(self._user, document)


def _state_of(user: Any) -> str:
    """Return a text that is equal for equal contents of a user document; for any other user, for this object only."""
    if not isinstance(user, Document) or vars(user).keys() - _OWN - user._dynamic_fields.keys():
        return _name_of(user)  # there is more to him than a document has: his loader added it
    try:
        contents = bson.encode(user.to_mongo(), codec_options=_CODEC)
    except Exception:
        return _name_of(user)
    return f"{type(user).__name__} {hashlib.blake2b(contents, digest_size=12).hexdigest()}"


def _name_of(thing: Any) -> str:
    return f"{_PROCESS}{id(thing):x}"
