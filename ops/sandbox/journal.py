"""The journal of a stand-in: every request that came in, right or wrong, and every change made.

JSON lines, only ever appended, on disk before the answer leaves. It outlives the process and is
read back at the start, so the totals speak of the whole life of the folder.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

Kind = Literal["received", "applied", "answered", "unanswered", "control"]
Operation = Literal["create", "update", "delete"]


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line; `request` numbers a request over the life of the folder, from 1. `within` is the
    one that it was a part of: that one alone is answered."""

    at: str
    kind: Kind
    request: int = 0
    within: int = 0
    method: str = ""
    path: str = ""
    headers: dict[str, str] = {}
    body: str = ""
    is_write: bool = False
    table: str = ""
    key: str = ""
    operation: str = ""
    status: int = 0
    fault: str = ""


class SentAgain(msgspec.Struct, frozen=True):
    """Writes that came more than once with equal method, path and body, and what they did."""

    writes: int
    applied_once: int
    applied_more_than_once: int
    never_applied: int


class Totals(msgspec.Struct, frozen=True):
    requests: int
    writes_received: int
    writes_applied: int
    changes: dict[str, dict[str, int]]  # table -> operation -> rows
    answers: dict[str, int]  # status -> requests
    unanswered: int
    sent_again: SentAgain


class Journal:
    """Appends entries and keeps the totals."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._requests = 0
        self._answers: Counter[str] = Counter()
        self._changes: dict[str, Counter[str]] = {}
        self._unanswered = 0
        self._writes: dict[int, str] = {}  # request -> what it asked for
        self._asked: Counter[str] = Counter()
        self._applied: dict[int, str] = {}
        self._file = path.open("ab", buffering=0)
        # A process killed while writing leaves a torn last line; it never answered that request.
        if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")
        for entry in self.entries():
            self._fold(entry)

    def close(self) -> None:
        self._file.close()

    def received(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: str,
        *,
        is_write: bool,
        within: int = 0,
    ) -> int:
        """Writes down a request and returns its number."""
        number = self._requests + 1
        self._append(
            Entry(
                at=_now(),
                kind="received",
                request=number,
                within=within,
                method=method,
                path=path,
                headers=dict(headers),
                body=body,
                is_write=is_write,
            )
        )
        return number

    def applied(self, request: int, table: str, key: str, operation: Operation) -> None:
        """Writes down one changed row."""
        self._append(Entry(_now(), "applied", request, table=table, key=key, operation=operation))

    def answered(self, request: int, status: int, fault: str = "") -> None:
        self._append(Entry(_now(), "answered", request, status=status, fault=fault))

    def unanswered(self, request: int, fault: str = "") -> None:
        """The sender went away before it had an answer."""
        self._append(Entry(_now(), "unanswered", request, fault=fault))

    def control(self, method: str, path: str, body: str) -> None:
        """A change made through the control paths, which no business request asked for."""
        self._append(Entry(_now(), "control", method=method, path=path, body=body))

    def sync(self) -> None:
        """All entries so far are on disk."""
        os.fsync(self._file.fileno())

    def entries(self, *, kind: str = "", path: str = "", after: int = 0) -> list[Entry]:
        """Entries of requests later than `after`, of one kind and with `path` in the path."""
        lines = self._path.read_bytes().splitlines()
        found = [entry for line in lines if (entry := _decoded(line)) is not None]
        paths = {e.request: e.path for e in found if e.kind == "received"}
        return [
            e
            for e in found
            if (not kind or e.kind == kind)
            and (not path or path in (e.path or paths.get(e.request, "")))
            and (not after or e.request > after)
        ]

    def totals(self) -> Totals:
        applied = Counter(self._applied.values())
        again = [asked for asked, times in self._asked.items() if times > 1]
        return Totals(
            requests=self._requests,
            writes_received=len(self._writes),
            writes_applied=len(self._applied),
            changes={table: dict(counter) for table, counter in self._changes.items()},
            answers=dict(self._answers),
            unanswered=self._unanswered,
            sent_again=SentAgain(
                writes=len(again),
                applied_once=sum(applied[asked] == 1 for asked in again),
                applied_more_than_once=sum(applied[asked] > 1 for asked in again),
                never_applied=sum(applied[asked] == 0 for asked in again),
            ),
        )

    def _append(self, entry: Entry) -> None:
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._fold(entry)

    def _fold(self, entry: Entry) -> None:
        match entry.kind:
            case "received":
                self._requests = entry.request
                if entry.is_write:
                    asked = _fingerprint(entry)
                    self._writes[entry.request] = asked
                    self._asked[asked] += 1
            case "applied":
                self._changes.setdefault(entry.table, Counter())[entry.operation] += 1
                if entry.request in self._writes:
                    self._applied[entry.request] = self._writes[entry.request]
            case "answered":
                self._answers[str(entry.status)] += 1
            case "unanswered":
                self._unanswered += 1


def _fingerprint(entry: Entry) -> str:
    text = f"{entry.method}\n{entry.path}\n{entry.body}"
    return hashlib.sha256(text.encode()).hexdigest()


def _decoded(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except msgspec.DecodeError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
