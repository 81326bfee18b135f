"""Who plans: the code and the rules that a ledger's plan was made by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

from canonical.rules import Rules

_DIGITS = 12


class Planner(msgspec.Struct, frozen=True):
    """Digests of the code that plans and of the rules it plans by; "" = not told apart."""

    code: str = ""
    rules: str = ""

    @property
    def text(self) -> str:
        """As ledgers keep it; "" where it is not told apart."""
        return f"{self.code}/{self.rules}" if self.code else ""

    def differs_from(self, text: str) -> bool:
        """Whether a ledger that keeps this was planned by another one, as far as is known."""
        return bool(text and self.code) and text != self.text


UNKNOWN = Planner()


def planner_of(folders: Iterable[Path], rules: Rules) -> Planner:
    """The code in these folders, data files too, with these rules."""
    code = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.suffix in (".py", ".csv", ".toml") and file.is_file():
                code.update(f"{file.relative_to(folder)}\0".encode())
                code.update(hashlib.sha256(file.read_bytes()).digest())
    # Sorted: a set has another order in each process.
    stated = hashlib.sha256(msgspec.json.encode(rules, order="sorted"))
    return Planner(code.hexdigest()[:_DIGITS], stated.hexdigest()[:_DIGITS])
