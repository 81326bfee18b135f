"""What is told of calls that came to their end, where somebody subscribes to it.

Only calls that change a target: questions and the reads of events are nobody's news. Told under a
key of their own, which nobody but the holder of the ledger's row numbers, so that two transactions
never wait for each other over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

import msgspec

from broker.emission import emission
from broker.ledger import Move
from broker.slices import slices
from broker.store import Tx
from broker.store import outbox as outbox_rows
from broker.store.calls import CallResult
from broker.store.ledgers import Ledger
from broker.store.outbox import Emission
from canonical.codec import encode
from canonical.effects import parts_of_identity
from canonical.operations import QUESTIONS
from canonical.own_work import StepEnd, StepEnded

ENDS: frozenset[str] = frozenset(get_args(StepEnd))
# What a person has skipped was not made; the reason says who skipped it and why.
_TOLD_AS = {"skipped": "cancelled"}


class End(msgspec.Struct, frozen=True):
    """A call and its end. end: one of ENDS."""

    ledger: Ledger
    step_id: int
    identity: str
    end: str
    reason: str

    @property
    def event(self) -> str:
        """The event by which it is told."""
        return f"step.{self.end}"


async def tell_moves(tx: Tx, moved: Sequence[tuple[Ledger, Sequence[Move]]]) -> None:
    """Ends that a plan, or what follows from others, brought about. As `tell_results`."""
    if _is_asked_for(tx):
        await _tell(tx, of_moves(moved))


async def tell_results(tx: Tx, results: Sequence[tuple[Ledger, CallResult]]) -> None:
    """Ends that targets brought about are emitted, as far as somebody subscribes to them. The
    caller holds the ledgers' rows."""
    if _is_asked_for(tx):
        await _tell(tx, of_results(results))


def of_moves(moved: Iterable[tuple[Ledger, Sequence[Move]]]) -> tuple[End, ...]:
    """The ends among moves, in their order."""
    return tuple(
        End(ledger, move.step.id, move.step.identity, _end_of(move), move.reason)
        for ledger, moves in moved
        for move in moves
        if move.step.kind == "call"
        and _is_told(move.step.identity, _end_of(move))
        # That it was not made has been told already.
        and move.step.state not in _TOLD_AS
    )


def of_results(results: Iterable[tuple[Ledger, CallResult]]) -> tuple[End, ...]:
    """The ends among results, in their order."""
    return tuple(
        End(ledger, result.claimed.id, result.claimed.step.identity, result.state, result.note)
        for ledger, result in results
        if _is_told(result.claimed.step.identity, result.state)
    )


def said(end: End) -> StepEnded:
    """What the event says."""
    parts = parts_of_identity(end.identity)
    return StepEnded(
        ledger=end.ledger.key,
        plant=parts.plant,
        system=parts.system,
        object_kind=parts.object_kind,
        object_id=parts.object_id,
        verb=parts.verb,
        end=msgspec.convert(end.end, StepEnd),
        reason=end.reason,
    )


def _end_of(move: Move) -> str:
    return _TOLD_AS.get(move.state, move.state)


def _is_asked_for(tx: Tx) -> bool:
    return any(outbox_rows.is_asked_for(tx, f"step.{end}") for end in ENDS)


def _is_told(identity: str, state: str) -> bool:
    return state in ENDS and parts_of_identity(identity).verb not in QUESTIONS


async def _tell(tx: Tx, ends: Sequence[End]) -> None:
    for some in slices([end for end in ends if outbox_rows.is_asked_for(tx, end.event)]):
        await outbox_rows.emit(tx, [_emission(end) for end in some])


def _emission(end: End) -> Emission:
    return emission(
        end.event,
        f"step/{end.ledger.key}",
        encode(said(end)),
        lane=None,
        correlation_id=end.ledger.correlation_id,
        causation_id=f"step/{end.step_id}",
    )
