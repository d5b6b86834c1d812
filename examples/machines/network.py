"""Hosts as network namespaces, each on a cable to one switch."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

__all__ = ["HOSTS", "Host", "Trouble", "check_machine", "connect", "cut", "disconnect", "heal", "is_connected"]

#: The switch, and what this machine itself is called on it.
_SWITCH, _HERE = "wsflask-sw", "10.87.0.1"
#: What has to be there, and the package that has it.
_PROGRAMS = {"ip": "iproute2", "nginx": "nginx", "node": "nodejs"}


class Trouble(Exception):
    """Something is missing or does not work; the sentence says what to do."""


@dataclass(frozen=True, slots=True)
class Host:
    """One machine."""

    name: str
    address: str

    @property
    def namespace(self) -> str:
        """What `ip netns` calls it."""
        return f"wsflask-{self.name}"

    @property
    def cable(self) -> str:
        """The switch's end of its cable; at most 15 letters."""
        return f"wsflask-{self.name}"[:15]

    def command(self, *command: str) -> list[str]:
        """Return the command that runs another one there; the process keeps its id."""
        return ["ip", "netns", "exec", self.namespace, *command]


HOSTS = {
    host.name: host
    for host in (
        Host("front", "10.87.0.2"),
        Host("db", "10.87.0.10"),
        Host("app1", "10.87.0.11"),
        Host("app2", "10.87.0.12"),
    )
}


def check_machine() -> None:
    """Raise Trouble unless this machine can be several."""
    if os.geteuid() != 0:
        raise Trouble("network namespaces need root; run it as: sudo python -m examples.machines …")
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            raise Trouble(f"there is no {program}; on Debian and Ubuntu: apt-get install {package}")
    probe = "wsflask-probe"
    try:
        _ip("netns", "add", probe)
        _ip("netns", "delete", probe)
        _ip("link", "add", probe, "type", "bridge")
        _ip("link", "delete", probe)
    except Trouble as trouble:
        raise Trouble(f"this kernel, or container, gives no network namespaces and bridges: {trouble}") from None


def connect() -> None:
    """Make the hosts, and connect them and this machine."""
    _ip("link", "add", _SWITCH, "type", "bridge")
    _ip("addr", "add", f"{_HERE}/24", "dev", _SWITCH)
    _ip("link", "set", _SWITCH, "up")
    for host in HOSTS.values():
        _ip("netns", "add", host.namespace)
        _ip("link", "add", host.cable, "type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        _ip("link", "set", host.cable, "master", _SWITCH, "up")
        _ip("-n", host.namespace, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.namespace, "link", "set", "eth0", "up")
        _ip("-n", host.namespace, "link", "set", "lo", "up")


def disconnect() -> None:
    """Take it all away, also what an earlier run has left."""
    for host in HOSTS.values():
        subprocess.run(["ip", "netns", "delete", host.namespace], capture_output=True, check=False)
        subprocess.run(["ip", "link", "delete", host.cable], capture_output=True, check=False)
    subprocess.run(["ip", "link", "delete", _SWITCH], capture_output=True, check=False)


def cut(host: Host) -> None:
    """Pull the host's cable: what is under way is lost, and nobody is told."""
    _ip("link", "set", host.cable, "down")


def heal(host: Host) -> None:
    """Put the cable in again."""
    _ip("link", "set", host.cable, "up")


def is_connected(host: Host) -> bool:
    """Return whether the host answers."""
    ping = ["ip", "link", "show", "dev", host.cable, "up"]
    return bool(subprocess.run(ping, capture_output=True, check=False).stdout.strip())


def _ip(*arguments: str) -> None:
    ended = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        raise Trouble(f"ip {' '.join(arguments)}: {ended.stderr.strip() or ended.returncode}")
