"""Compare the matcher with MongoDB: which of many random documents are rows of many random scopes.

    python -m scripts.match_mongo [--pairs 20000] [--seed 1]

Starts a mongod of its own, inserts documents of every type and shape in batches, and asks it and `Scope.matches` about
the same scopes, as a client would write them (tests/reference/truth.py makes both). The last line tells how many pairs
of a document and a scope were asked, and about how many the two did not agree; a difference is printed, and ends in the
status 1. The same seed makes the same pairs.
"""

import argparse
import random
import secrets
import shutil
import sys
import tempfile

from pymongo import MongoClient

from tests.reference.truth import Tally, compare
from wsflask.embedded import EmbeddedMongo

#: Differences that are printed.
SHOWN = 10


def main() -> int:
    """Return 1 when there was a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=20_000, help="at least so many; default: 20000")
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    folder = tempfile.mkdtemp(prefix="wsflask-match-")
    try:
        with EmbeddedMongo(folder) as server, MongoClient(server.uri, uuidRepresentation="standard") as client:
            print(f"mongod {client.server_info()['version']}, seed {seed}", flush=True)
            tally = compare(client["match"]["things"], random.Random(seed), options.pairs, Progress(options.pairs))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    differences = tally.differences or []
    for scope, document in differences[:SHOWN]:
        print(f"{scope.to_wire()} on {document}: in memory {scope.matches(document)}, in MongoDB not")
    print(f"pairs={tally.pairs} differences={len(differences)} seed={seed}")
    return 1 if differences else 0


class Progress:
    """Prints a line for each tenth of the way."""

    def __init__(self, pairs: int) -> None:
        self._pairs = max(pairs, 1)
        self._told = 0

    def __call__(self, tally: Tally) -> None:
        """Tell how far it is."""
        tenth = min(tally.pairs * 10 // self._pairs, 10)
        if tenth > self._told:
            self._told = tenth
            print(
                f"{tally.pairs} pairs, {tally.rows} of them rows, {tally.scopes} scopes, {tally.refused} more refused, "
                f"{len(tally.differences or [])} differences",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
