"""Run the Autobahn test suite against wsflask: RFC 6455, judged by others.

    python -m scripts.autobahn [--cases 1.* 6.2.3] [--servers pywsgi-threaded]

Under gunicorn and gevent.pywsgi, with parked connections and with a greenlet for each, an application that sends every
frame's message back is put through the core cases and those on limits: 301 cases, about 20 s for each of the four.
The exit status is 1 when one failed or ended unclean, or when cases are missing. Each case's own report, with what went
over the wire, is in .autobahn/reports.

Compression is an extension, of parked connections alone; its 216 cases take the suite ten minutes, and what only asks
for a smaller window is declined:

    python -m scripts.autobahn --cases 12.* 13.* --servers gunicorn-parked

The suite needs Python 2.7 (`pyenv install 2.7.18`) and a C compiler. The first run puts it into .autobahn, in the
versions of tests/conformance/autobahn.txt; later runs need no network.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.conformance.environment import NoPython2, make_environment
from tests.conformance.report import Outcome, read_outcome, table
from tests.harness.basics import ROOT
from wsflask.testing import Servers, WebServer

#: Framing, pings, reserved bits, opcodes, fragments, UTF-8, closing; limits; fragmentation by the server. There is
#: no group 8 nor 11; 12 and 13 are compression.
CASES, COUNT = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"), 301
SERVERS = ("gunicorn-parked", "gunicorn-threaded", "pywsgi-parked", "pywsgi-threaded")
APP = "tests.apps.frame_echo:app"
#: Seconds that all cases of a server may take.
PATIENCE = 1800.0


def main() -> int:
    """Return 1 when a server is not conformant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), metavar="CASE", help="such as 6.2.3 or '6.*'")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS), metavar="SERVER",
                        help=" ".join(SERVERS))  # fmt: skip
    parser.add_argument("--python", help="a Python 2.7; default: the one on PATH, or pyenv's latest")
    parser.add_argument("--folder", type=Path, default=ROOT / ".autobahn", help="default: .autobahn")
    options = parser.parse_args()
    folder = options.folder.resolve()
    try:
        wstest = make_environment(folder / "environment", options.python)
    except NoPython2 as error:
        print(error, file=sys.stderr)
        return 1
    outcomes = [run(wstest, folder / "reports" / name, name, options.cases) for name in options.servers]
    print(table(outcomes))
    is_whole = tuple(options.cases) != CASES or all(one.cases == COUNT for one in outcomes)
    return 0 if is_whole and all(one.is_conformant for one in outcomes) else 1


def run(wstest: Path, reports: Path, name: str, cases: list[str]) -> Outcome:
    """Start the server, put it through the cases, stop it."""
    print(f"==> {name}", flush=True)
    with Servers() as servers:
        server = start(servers, name)
        reports.mkdir(parents=True, exist_ok=True)
        (reports / "index.json").unlink(missing_ok=True)
        spec = reports.with_suffix(".json")
        target = {"agent": name, "url": f"ws://127.0.0.1:{server.port}/echo"}
        spec.write_text(json.dumps({"outdir": str(reports), "servers": [target], "cases": cases}))
        command = [str(wstest), "--mode", "fuzzingclient", "--spec", str(spec)]
        with reports.with_suffix(".log").open("w") as log:
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, timeout=PATIENCE, check=False)
    return read_outcome(reports, name)


def start(servers: Servers, name: str) -> WebServer:
    """Start the echo application under the server, and with the links, that the name says."""
    kind, _, transport = name.partition("-")
    environment = {"FRAME_ECHO_TRANSPORT": transport}
    if kind == "gunicorn":
        return servers.gunicorn(APP, env=environment)
    return servers.pywsgi(APP, env=environment)


if __name__ == "__main__":
    sys.exit(main())
