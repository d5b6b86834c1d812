"""What a client may have heard: no marker and no id that was never his to see at the time."""

from __future__ import annotations

from typing import Any

from .client import Arrival
from .domains import MARKER
from .people import People, Version
from .recorder import Image, Recorder
from .shapes import CLASSES, classes_of

__all__ = ["Judge"]

#: Seconds for which rights, and images of documents, may be late.
_RIGHTS_LATE, _IMAGES_LATE = 3.0, 15.0


class Judge:
    """Judges messages by what their users' rights and the documents were about then."""

    def __init__(self, people: People, recorder: Recorder) -> None:
        self._people = people
        self._recorder = recorder
        #: What was found to be right for the same versions of somebody's rights.
        self._allowed: set[tuple[Any, ...]] = set()

    def leaks(self, arrival: Arrival) -> list[str]:
        """Return what the user must not have heard, in words."""
        asks_hidden = bool(arrival.subscription.request.get("show_hidden"))
        rights = self._people.during(arrival.user, arrival.moment - _RIGHTS_LATE, arrival.moment)
        stamp = tuple(map(id, rights))
        found = []
        for marker in MARKER.finditer(arrival.text):
            key = (stamp, marker[0], asks_hidden)
            if key not in self._allowed:
                if self._may_know(marker[0], marker[2], rights, hidden=asks_hidden):
                    self._allowed.add(key)
                else:
                    found.append(f"{arrival.user} got {marker[0]}")
        if "message" in arrival.payload:
            found += self._id_leaks(arrival, rights)
        return found

    def forget(self) -> None:
        """Let go of what was found."""
        self._allowed.clear()

    def _may_know(self, marker: str, field: str, rights: list[Version], *, hidden: bool) -> bool:
        return any(
            field in version.rights.sees(name, hidden=hidden) and version.rights.may_read(name, image.document)
            for key in self._recorder.owners.get(marker, ())
            for image in self._recorder.images[key]
            if image.document is not None and marker in image.document.values()
            for version in rights
            for name in classes_of(key[0])
        )

    def _id_leaks(self, arrival: Arrival, rights: list[Version]) -> list[str]:
        payload = arrival.payload
        name, op, identity = payload["doc_class"], payload["op"], payload["message"]["_id"]
        images = self._recorder.images.get((CLASSES[name].collection, identity), [])
        if op in "LIU":
            start, since = arrival.moment - _IMAGES_LATE, rights
        elif arrival.is_stray:
            start = arrival.subscription.began - _IMAGES_LATE
            since = self._people.during(arrival.user, start, arrival.moment)
        else:
            return []
        if any(
            version.rights.may_read(name, image.document)
            for image in images
            if image.document is not None and _overlaps(image, start, arrival.moment)
            for version in since
        ):
            return []
        return [f"{arrival.user} got {op} of {name} {identity}"]


def _overlaps(image: Image, start: float, end: float) -> bool:
    # The recorder reads the change stream beside the server, and perhaps a little after it.
    return image.until >= start and image.since <= end + 1.0
