"""Faults on purpose, under load: what was written, compared with what every tab surfaced."""
