"""Runs of messages that a client can resume: what was told lately, to whom, and who is being caught up."""
