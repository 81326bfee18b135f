"""Decisions that people took in another system, on a question that a ledger asks.

They go the way of all decisions (`broker.approvals`): the system is a principal of its name, which
an admin has given the role. What it may not, or what is decided already, changes nothing and is on
record.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from broker import approvals
from broker.approvals import Shown
from broker.authority import put_on_record
from broker.principals import Deed, Principal, Refused
from broker.store import Tx
from broker.store import ledgers as ledger_rows
from broker.store import principals as principal_rows
from broker.store import steering as steering_rows
from broker.store import steps as step_rows
from broker.store.casebook import Case
from canonical.effects import Decide
from canonical.errors import Rejected

# A second word of one that has signed is no fault of the installation's.
_EXPECTED = frozenset({"signed-already"})


class Told(msgspec.Struct, frozen=True):
    """A decision, and the story of the message that tells of it."""

    decide: Decide
    correlation_id: str


async def take(tx: Tx, told: Sequence[Told]) -> list[Case]:
    """Each question is decided as it was there, if it is open and that system may; cases for what
    it may not.

    What is decided is the question as it stands now: a review does not say which of its forms was
    on the screen. Of two that decide at once, the ledger's row makes one the first.
    """
    cases: list[Case] = []
    for each in told:
        refused = await _take(tx, each)
        if refused is not None:
            cases.append(_not_taken(each.decide, refused))
    return cases


async def _take(tx: Tx, told: Told) -> Refused | None:
    """Why an open question was not decided by who may not; whatever was refused is on record."""
    decide = told.decide
    by = await _principal(tx, decide)
    # Locked before it is read, so that it is still asked like that when it is decided.
    ids = await steering_rows.ids_of(tx, [decide.ledger])
    ledgers = await ledger_rows.lock_ledgers(tx, ids.values())
    asked = await step_rows.question(
        tx, list(ledgers), question=decide.question, about=decide.about
    )
    if asked is None or isinstance(by, Refused):
        failure = by if isinstance(by, Refused) else _not_asked(decide)
        await put_on_record(tx, _deed(told), failure, by=decide.by)
        return by if isinstance(by, Refused) and asked is not None and asked.is_open else None
    (fate,) = await approvals.decide_each(
        tx,
        [Shown(asked.step_id, asked.digest)],
        verdict=decide.verdict,
        by=by,
        reason=decide.reason,
    )
    refused = fate.refused
    if not isinstance(refused, Refused) or refused.code in _EXPECTED or not asked.is_open:
        return None
    return refused


async def _principal(tx: Tx, decide: Decide) -> Principal | Refused:
    found = await principal_rows.lock(tx, decide.by)
    if found is not None and not found.is_disabled:
        return found.principal
    return Refused(
        "principal-unknown" if found is None else "principal-disabled",
        f"{decide.by} decides in its own name, and "
        + ("nobody is called so" if found is None else "is disabled"),
        where=f"principal/{decide.by}",
        remedy=f"Have an admin make it one: layshaft token create {decide.by} --service"
        " --role ... --plant '*';"
        " or decide here: layshaft task list",
        by=decide.by,
    )


def _deed(told: Told) -> Deed:
    decide = told.decide
    return Deed(
        action="task-approve" if decide.verdict == "approved" else "task-reject",
        subject=_subject(decide),
        correlation_id=told.correlation_id,
    )


def _subject(decide: Decide) -> str:
    return f"{decide.ledger}: {decide.question} {decide.about}"


def _not_asked(decide: Decide) -> Rejected:
    return Rejected("not-found", "Nobody asks that", where=_subject(decide))


def _not_taken(decide: Decide, refused: Refused) -> Case:
    return Case(
        code="decision-not-taken",
        word="configuration",
        what=f"{decide.by} has {decide.verdict} it ({decide.reason}), and may not: {refused.what}",
        place=_subject(decide),
        remedy=refused.remedy,
        owner="operations",
        key=decide.ledger,
        ledger_key=decide.ledger,
    )
