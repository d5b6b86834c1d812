"""The wire, without I/O: frames, envelopes, names and codes."""
