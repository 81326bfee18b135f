"""The review of a supplier in the system that is asked about suppliers: it is closed there once its
question is decided here, or nobody asks it any more; decided there, it decides the question here.

It is opened by the change that asks (`handlers.flows.change_suppliers`). Its end is a ledger of its
own: a refused question holds what stands behind it, and one that is not asked any more is in no
plan. The object is the same, so what asks and is at its target comes first; what asks and was not
sent is not sent any more.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from canonical.change import change_key
from canonical.codec import read_event
from canonical.effects import Decide, Effect, Plan, Step
from canonical.envelope import Message
from canonical.events import ApprovalDecided, ApprovalWithdrawn, SupplierReviewDecided
from canonical.facts import Facts
from canonical.handler import Handler, no_needs
from canonical.operations import CloseReview, verb
from canonical.review import review_key, review_reference
from handlers.flows.change_suppliers import QUALIFICATION
from handlers.flows.planning import DUE_S, PROCUREMENT

Verdict = Literal["approved", "rejected", "withdrawn"]

FLOW = "supplier-review"
_VERDICTS: dict[str, Verdict] = {
    "approval.granted": "approved",
    "approval.refused": "rejected",
    "approval.withdrawn": "withdrawn",
}


def _handler(event: str) -> Handler:
    verdict = _VERDICTS[event]

    def decide(
        message: Message[ApprovalDecided | ApprovalWithdrawn], facts: Facts, now: datetime
    ) -> tuple[Effect, ...]:
        """The plan that closes the review, where the question has one."""
        said = message.payload
        if said.question != QUALIFICATION:
            return ()
        rules = facts.rules
        system = rules.system_told(PROCUREMENT, rules.day_in("*", now)) or PROCUREMENT
        close = CloseReview(
            supplier=said.about,
            reference=review_reference(said.change, said.about),
            verdict=verdict,
            reason=_reason(said),
        )
        step = Step(
            plant="",
            system=system,
            object_kind="supplier",
            object_id=said.about,
            operation=close,
            owner="sourcing",
            lane=message.envelope.lane,
            due_s=rules.due_s.get(verb(close), DUE_S),
        )
        return (
            Plan(
                key=review_key(said.change, said.about),
                # The last one of the change's events counts.
                version=message.envelope.sequence or 0,
                title=f"Review of supplier {said.about} for {said.change}",
                steps=(step,),
            ),
        )

    return Handler(
        name=f"{FLOW}.{verdict}",
        scope=FLOW,
        types=(event,),
        read=read_event,
        needs=no_needs,
        decide=decide,
    )


def _reason(said: ApprovalDecided | ApprovalWithdrawn) -> str:
    match said:
        case ApprovalDecided(by=by, reason=reason):
            return f"{by} in Layshaft: {reason}" if reason else f"{by} in Layshaft"
        case ApprovalWithdrawn(change=change):
            return f"{change} does not need it any more"


def decide_there(
    message: Message[SupplierReviewDecided], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The question is decided as its review was, in the name of the system that holds it."""
    said = message.payload
    system = said.origin if isinstance(said.origin, str) else ""
    who = said.by or "somebody"
    words = f"{who} in {system}"
    return (
        Decide(
            ledger=change_key(said.change),
            question=QUALIFICATION,
            about=said.supplier,
            verdict=said.verdict,
            by=system,
            reason=f"{words}: {said.reason}" if said.reason else words,
        ),
    )


DECIDED = Handler(
    name="supplier-review.decided",
    scope=f"{FLOW}-decided",
    types=("supplier-review.decided",),
    read=read_event,
    needs=no_needs,
    decide=decide_there,
)
GRANTED = _handler("approval.granted")
REFUSED = _handler("approval.refused")
WITHDRAWN = _handler("approval.withdrawn")
