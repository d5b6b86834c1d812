"""Several machines on one: python -m examples.machines up | cut | heal | check | down."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.faults.stand import FULL, QUICK, Load
from wsflask.errors import ConfigError

from .check import check
from .hosts import FRONT, down, is_up, up
from .network import HOSTS, Trouble, cut, heal

_HELP = """\
Four hosts in network namespaces: `db` (a replica set of three mongods), `app1` and `app2` (gunicorn with two workers
each), `front` (nginx, without sticky sessions). Needs root, Linux, iproute2, nginx, Node with `npm ci`, and mongod
(pip install 'wsflask[test]' brings one). It runs from a checkout of the repository, in its top folder, and from nothing
else: load, tabs and what counts as lost are those of the fault suite, tests/faults, which no package brings.

  up      makes the hosts and starts everything; it stays up until `down`
  cut     pulls the cable of an application host: `cut app1`; `heal app1` puts it in again
  check   puts a load on through nginx, cuts app1 off for 30 s, and counts what was lost; the last line is
          name=value pairs: what the load was, for how long app1 was cut off, what came of it
  down    ends everything
"""


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.machines", description=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["up", "cut", "heal", "check", "down"])
    parser.add_argument("host", nargs="?", choices=["app1", "app2"], default="app1", help="of cut and heal")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp/wsflask-machines"), help="for data and logs")
    parser.add_argument("--workers", type=int, default=2, help="of each application host (default: 2)")
    parser.add_argument("--seconds", type=float, default=30.0, help="for which `check` cuts a host off (default: 30)")
    parser.add_argument("--quick", action="store_true", help="`check` with a fifth of the load")
    asked = parser.parse_args()
    try:
        return _do(asked)
    except (Trouble, ConfigError) as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        return 2


def _do(asked: argparse.Namespace) -> int:
    folder: Path = asked.folder
    if asked.command == "up":
        up(folder, workers=asked.workers)
        print(f"up: http://{FRONT.removesuffix(':80')}/ is nginx; data and logs are in {folder}")
        return 0
    if asked.command == "down":
        down(folder)
        return 0
    if not is_up(folder):
        raise Trouble("it is not up; start it with: python -m examples.machines up")
    if asked.command == "check":
        return _check(QUICK if asked.quick else FULL, asked.seconds, asked.workers)
    (cut if asked.command == "cut" else heal)(HOSTS[asked.host])
    return 0


def _check(load: Load, seconds: float, workers: int) -> int:
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", file=sys.stderr)

    is_green, figures = check(load, seconds, workers, say)
    print(" ".join(f"{name}={value}" for name, value in figures.items()))
    return 0 if is_green else 1


if __name__ == "__main__":
    sys.exit(main())
