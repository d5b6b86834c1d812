"""Say what this machine lacks of the programs that the tests start, and which package brings it."""

from __future__ import annotations

import os
import shutil
import sys

from wsflask.embedded import find_mongod
from wsflask.errors import ConfigError

#: Programs of which one is enough; the package on Debian and Ubuntu; what is skipped without them.
_PROGRAMS = (
    (("chromium", "chromium-browser", "google-chrome"), "chromium", "the tests in a browser"),
    (("node",), "nodejs", "the tests of the JavaScript client"),
    (("redis-server",), "redis-server", "the tests of the redis extra"),
)


def main() -> int:
    """Return 1 when most tests could not run."""
    for names, package, tests in _PROGRAMS:
        if not any(map(shutil.which, names)):
            print(f"    {names[0]} is missing, so {tests} will be skipped; apt-get install {package}")
    try:
        print(f"    mongod: {find_mongod(os.environ.get('WSFLASK_MONGOD'))}")
    except ConfigError as error:
        print(f"    {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
