"""RFC 6455 judged by others: the Autobahn test suite against wsflask, started by `scripts/autobahn.py`."""
