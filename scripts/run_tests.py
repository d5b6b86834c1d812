"""Run the tests in several processes that share the test files, after those that have to be alone.

Most of the tests wait: for servers, for browsers, for time to pass. One process after another would take twice as long.
Those with the mark `alone` measure under load. What is given besides goes to each pytest.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import IO

#: More disturb one another.
_MOST = 3
#: What pytest counts in its last line.
_COUNTED = re.compile(r"(\d+) (passed|failed|errors?|skipped|deselected|xfailed|xpassed|warnings?)")
#: pytest's exit status of a run without tests: the others had taken them all.
_NO_TESTS = 5
#: And of one that was interrupted.
_INTERRUPTED = 2

_printing = threading.Lock()


def main() -> int:
    """Run the tests; return 0 if all passed, 5 if there were none, as pytest does, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--processes", type=int, default=min(os.cpu_count() or 1, _MOST), help="how many (default: %(default)s)"
    )
    options, arguments = parser.parse_known_args()
    began = time.monotonic()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="wsflask-shares-") as folder:
        statuses = _run(1, ["-m", "alone", *arguments], {}, counts)
        if -signal.SIGINT not in statuses and _INTERRUPTED not in statuses:
            shared = {"WSFLASK_TEST_SHARES": folder}
            statuses += _run(options.processes, ["-m", "not alone", *arguments], shared, counts)
    taken = time.monotonic() - began
    total = ", ".join(f"{counts[name]} {name}" for name in sorted(counts)) or "no tests ran"
    print(f"=== all of them: {total} in {taken:.0f}s ({taken // 60:.0f}:{taken % 60:02.0f}) ===")
    if all(status == _NO_TESTS for status in statuses):
        return _NO_TESTS
    return int(any(status not in (0, _NO_TESTS) for status in statuses))


def _run(processes: int, arguments: list[str], environment: dict[str, str], counts: Counter[str]) -> list[int]:
    """Run pytest in so many processes; return how each ended."""
    command = [sys.executable, "-m", "pytest", *arguments]
    env = {**os.environ, **environment, "COLUMNS": "100"}
    runs = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(processes)
    ]
    readers = [threading.Thread(target=_print, args=(run.stdout, counts)) for run in runs]
    for reader in readers:
        reader.start()
    try:
        statuses = [run.wait() for run in runs]
    except KeyboardInterrupt:
        statuses = [run.wait() for run in runs]  # they were interrupted too, and stop what they have started
    for reader in readers:
        reader.join()
    return statuses


def _print(stream: IO[str] | None, counts: Counter[str]) -> None:
    """Print a run's lines as they come, whole, and add up what its last line counts."""
    last = ""
    for line in stream or ():
        with _printing:
            print(line, end="", flush=True)
        last = line if _COUNTED.search(line) else last
    for number, name in _COUNTED.findall(last):
        counts[name.rstrip("s") if name in ("errors", "warnings") else name] += int(number)


if __name__ == "__main__":
    sys.exit(main())
