"""One line an act, for somebody who waits: what is going on, and how long it took."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic


class Progress:
    """Writes to standard error; the report has standard output for itself."""

    def __init__(self) -> None:
        self._began = monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return monotonic() - self._began

    @contextmanager
    def act(self, what: str) -> Iterator[None]:
        """A line when the act ends, with its seconds; another one if it fails."""
        began = monotonic()
        try:
            yield
        except BaseException:
            self.say(f"not done after {monotonic() - began:.1f} s: {what}")
            raise
        self.say(f"{monotonic() - began:4.1f} s  {what}")

    def say(self, text: str) -> None:
        """A line of its own."""
        print(f"[{self.seconds:5.1f}] {text}", file=sys.stderr, flush=True)
