"""The failure classes: one list, one word each, the same word in tables, metrics and runbooks.

Failure
├── InvalidMessage       data_quality         cannot be decoded or breaks its contract
├── Rejected             business_rule        understood, and refused by a rule or by a target
├── Conflict             ownership_conflict   foreign write, stale revision, two owners
├── SuspectedDuplicate   suspected_duplicate  the same business object under another identity
├── Unavailable          transient            target or network down, rate limited: nothing happened
│   └── Busy             transient            the target is well, and the object is in use for now
├── InDoubt              in_doubt             sent, answer unknown: it may have happened
└── Misconfigured        configuration        settings and reality do not fit

Anything else that is raised is a `defect`: ours. An exception carries data; the sentence a person
reads is made where it is shown.
"""

from __future__ import annotations

from typing import ClassVar

DEFECT = "defect"

# Who works on a failure of a class unless the failure names somebody better.
OWNERS: dict[str, str] = {
    "data_quality": "sender",
    "business_rule": "business",
    "ownership_conflict": "data owner",
    "suspected_duplicate": "data owner",
    "transient": "operations",
    "in_doubt": "operations",
    "configuration": "operations",
    DEFECT: "layshaft team",
}


class Failure(Exception):
    """Something that decides the fate of one message or one step.

    code: short kebab-case word, stable, e.g. "unit-unknown"; the key of the runbook.
    what: one sentence about what is wrong, for the person who has to act.
    where: field path, key or call it is about.
    remedy: what to do about it.
    owner: whose turn it is, where that is known better than by class.
    """

    word: ClassVar[str] = DEFECT

    def __init__(
        self, code: str, what: str, *, where: str = "", remedy: str = "", owner: str = ""
    ) -> None:
        super().__init__(f"{code}: {what}" + (f" ({where})" if where else ""))
        self.code = code
        self.what = what
        self.where = where
        self.remedy = remedy
        self.owner = owner or OWNERS[self.word]


class InvalidMessage(Failure):
    """It cannot be decoded or breaks its contract; the sender must send it anew."""

    word = "data_quality"


class Rejected(Failure):
    """It was understood and refused by a business rule or by the target system."""

    word = "business_rule"


class Conflict(Failure):
    """Somebody who does not own the value wrote it, or it is older than what is known."""

    word = "ownership_conflict"


class SuspectedDuplicate(Failure):
    """The same business object seems to exist under another identity."""

    word = "suspected_duplicate"


class _ForNow(Failure):
    """It passes, or shows itself, with time.

    retry_after_s: seconds the target asked us to wait, already clipped; None where it did not say.
    """

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: str = "",
        remedy: str = "",
        owner: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(code, what, where=where, remedy=remedy, owner=owner)
        self.retry_after_s = retry_after_s


class Unavailable(_ForNow):
    """Nothing happened and trying again later may help."""

    word = "transient"


class Busy(Unavailable):
    """Nothing happened, as somebody has the object, or what it takes is in use: a matter of minutes
    while people are there. The target says who in `what`, where it does."""


class InDoubt(_ForNow):
    """A call was sent and its answer is unknown: it may or may not have been applied."""

    word = "in_doubt"


class Misconfigured(Failure):
    """Settings, topology or schema do not fit; waiting does not help."""

    word = "configuration"
