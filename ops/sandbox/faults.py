"""Faults a stand-in commits on request: which request, what goes wrong, how often. Pure."""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

Action = Literal[
    "apply_then_hang",  # applied, never answered
    "apply_then_500",  # applied, answered with 500
    "reset",  # applied, connection closed without an answer
    "slow",  # applied at once, answered after `seconds`
    "hang",  # not applied, never answered
    "refuse_500",  # not applied
    "refuse_400",  # not applied
    "throttle_429",  # not applied, Retry-After: `retry_after_s`
    "login_page_200",  # not applied, answered with 200 and a page of HTML
]
APPLYING: frozenset[str] = frozenset({"apply_then_hang", "apply_then_500", "reset", "slow"})


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Matches on everything given: method, a regular expression in the path with its query, a
    text in the body. `times` None means always. `headers`: what a slow answer has besides."""

    action: Action
    method: str = ""
    path: str = ""
    body: str = ""
    times: int | None = 1
    seconds: float = 1.0
    retry_after_s: int = 1
    headers: dict[str, str] = {}

    def __post_init__(self) -> None:
        re.compile(self.path)  # a wrong expression is the sender's error, at once

    def matches(self, method: str, path: str, body: str) -> bool:
        return (
            self.method in ("", method)
            and re.search(self.path, path) is not None
            and self.body in body
        )


class Listed(msgspec.Struct, frozen=True):
    """A rule and how often it was carried out."""

    rule: Rule
    hits: int


class Faults:
    """The rules in force; the first that matches and is not used up counts."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._hits: list[int] = []

    def add(self, rules: Sequence[Rule]) -> None:
        self._rules += rules
        self._hits += [0] * len(rules)

    def clear(self) -> None:
        self._rules, self._hits = [], []

    def listed(self) -> list[Listed]:
        return [Listed(rule, hits) for rule, hits in zip(self._rules, self._hits, strict=True)]

    def take(self, method: str, path: str, body: str) -> Rule | None:
        """The rule for this request, counted as carried out."""
        for position, rule in enumerate(self._rules):
            used_up = rule.times is not None and self._hits[position] >= rule.times
            if not used_up and rule.matches(method, path, body):
                self._hits[position] += 1
                return rule
        return None

    def give_back(self, rule: Rule) -> None:
        """The request was refused for a reason of its own, so nothing was applied to lie about."""
        for position, known in enumerate(self._rules):
            if known is rule:
                self._hits[position] -= 1
