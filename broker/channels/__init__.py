"""Channels perform a `Request` against a target and say honestly what is known about its fate."""
