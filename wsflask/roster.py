"""The services an application has asked for: imported, made, and checked."""

from __future__ import annotations

from collections.abc import Iterable

from werkzeug.utils import import_string

from .errors import ConfigError
from .protocol.codes import RESERVED_CHANNELS
from .protocol.messages import is_channel_name
from .service import Service

__all__ = ["make_services"]


def make_services(given: Iterable[type[Service] | Service | str]) -> list[Service]:
    """Return an instance of each.

    Raises:
        ConfigError: one cannot be imported, is no service, or has a channel that is wrong or taken.
    """
    if not isinstance(given, list | tuple):
        raise ConfigError(f"services is {given!r}; write a list of service classes, instances or import names")
    services: list[Service] = []
    channels: set[str] = set()
    for one in given:
        service = _make_service(one)
        if not is_channel_name(service.channel) or service.channel in RESERVED_CHANNELS:
            raise ConfigError(f"{type(service).__name__}.channel is {service.channel!r}; write a name such as 'orders'")
        if service.channel in channels:
            raise ConfigError(f"two services have the channel {service.channel!r}; give each its own")
        channels.add(service.channel)
        services.append(service)
    return services


def _make_service(given: type[Service] | Service | str) -> Service:
    try:
        found = import_string(given.replace(":", ".")) if isinstance(given, str) else given
    except ImportError as error:
        sentence = f"the service {given!r} cannot be imported; write 'package.module:Class' ({error})"
        raise ConfigError(sentence) from error
    if isinstance(found, type) and issubclass(found, Service):
        return found()
    if not isinstance(found, Service):
        raise ConfigError(f"{given!r} is not a wsflask.Service; subclass it and name its channel")
    return found
