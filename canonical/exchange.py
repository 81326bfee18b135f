"""One call to a target system as values: what a driver asks for and what came back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

# A target may ask for any pause; a longer one is asked again after this.
MAX_RETRY_AFTER_S = 3600


class Request(msgspec.Struct, frozen=True):
    """A call that a channel performs as it stands.

    path: below the system's base URL, without query.
    effectful: True if the target may change by it; a lost answer is then in doubt.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    effectful: bool = True


class Response(msgspec.Struct, frozen=True):
    """A complete answer: status, headers with lower-case names, body bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """Seconds the target asks us to wait (RFC 9110, 10.2.3), at most MAX_RETRY_AFTER_S; None
        where it does not say.

        A date counts from the answer's own Date header, since clocks differ.
        """
        text = self.headers.get("retry-after", "").strip()
        if re.fullmatch(r"[0-9]{1,20}", text, re.ASCII):
            return float(min(int(text), MAX_RETRY_AFTER_S))
        try:
            asked = parsedate_to_datetime(text)
            pause = asked - parsedate_to_datetime(self.headers.get("date", ""))
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
        return min(max(pause.total_seconds(), 0.0), float(MAX_RETRY_AFTER_S))
