"""How an engineering change gets on, told where somebody subscribes to it: begun, blocked and by
whom, complete, taken back.

It is blocked while nothing of it goes on by itself and somebody has to act; a question beside calls
that are still made, or a day that is waited for, blocks nothing. A call that people hold does not
go on, and it is their turn. Told in the transaction that brings it about, under a key of its own:
as with ends of calls (broker.step_ends). What a hold brings about, of any number of changes, is
told afterwards (broker.herald).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from broker.aside import MANY, aside_if
from broker.emission import emission, lane_following
from broker.ledger import SETTLED, LedgerStep, Move, current, is_true_everywhere
from broker.store import Tx
from broker.store import holds as hold_rows
from broker.store import ledgers as ledger_rows
from broker.store import outbox as outbox_rows
from broker.store import steps as step_rows
from broker.store.holds import Hold, held
from broker.store.ledgers import Ledger
from broker.store.steps import Standing
from canonical.change import change_key
from canonical.codec import encode
from canonical.effects import parts_of_identity
from canonical.operations import READS, REPORTS
from canonical.own_work import ChangeBlocker, ChangeProgress, ChangeProgressed

EVENT = "engineering-change.progressed"
FLOW = change_key("").rstrip("/")
_CHANGES = change_key("")
_GOES_ON = frozenset({"ready", "in_flight", "in_doubt"})


class Progress(msgspec.Struct, frozen=True):
    """How a change gets on. blocked_by: steps that somebody has to move, in the order in which they
    came. held: holds, and how many of its calls each of them keeps. paused: as in Ledger."""

    status: ChangeProgress
    blocked_by: tuple[LedgerStep, ...] = ()
    held: tuple[tuple[Hold, int], ...] = ()
    paused: str = ""

    @property
    def mark(self) -> str:
        """What is kept of what was told: nobody is told anew that less waits for the same."""
        oldest: dict[tuple[str, str], int] = {}
        for step in self.blocked_by:
            oldest.setdefault((step.kind, parts_of_identity(step.identity).system), step.id)
        said = encode((self.status, sorted(oldest.items()), self.paused))
        if self.held:
            said += encode([hold.id for hold, _ in self.held])
        return f"{self.status} {hashlib.sha256(said).hexdigest()[:16]}"


def is_told(tx: Tx) -> bool:
    """Whether anybody subscribes to it."""
    return outbox_rows.is_asked_for(tx, EVENT)


def progress(
    ledger: Ledger,
    steps: Sequence[LedgerStep],
    moves: Sequence[Move],
    *,
    has_ended: bool,
    holds: Sequence[Hold] = (),
) -> Progress:
    """How the change of the ledger gets on once these moves are made; that its PLM cannot be told
    changes nothing of that. holds: in force, whether they are about it or not."""
    if has_ended or ledger.state != "open":
        return Progress(ledger.ends_as)
    after = {move.step.id: move.state for move in moves}
    own = [(step, after.get(step.id, step.state)) for step in steps if not _is_report(step)]
    latest = current(steps)
    if is_true_everywhere((s.identity, after.get(s.id, s.state)) for s in latest.values()):
        return Progress(ledger.ends_as)
    if ledger.paused:
        return Progress("blocked", paused=ledger.paused)
    kept: dict[Hold, int] = {}
    for step, state in own:
        if step.kind == "call" and state in _GOES_ON:
            about = [] if state == "in_flight" else _keeping(step, holds)
            if not about:
                return Progress("started")
            for hold in about:
                kept[hold] = kept.get(hold, 0) + 1
    standing = [
        step
        for step, state in own
        if latest[step.identity] is step and _needs_somebody(step, state)
    ]
    standing.sort(key=lambda step: step.id)
    keeping = tuple(sorted(kept.items(), key=lambda each: each[0].id))
    return Progress("blocked" if standing or keeping else "started", tuple(standing), keeping)


def _keeping(step: LedgerStep, holds: Sequence[Hold]) -> list[Hold]:
    """The holds that keep a call of a change from being made."""
    parts = parts_of_identity(step.identity)
    if parts.verb in READS:
        return []
    return [h for h in holds if h.is_about(system=parts.system, plant=parts.plant, flow=FLOW)]


def _is_report(step: LedgerStep) -> bool:
    return parts_of_identity(step.identity).verb in REPORTS


def _needs_somebody(step: LedgerStep, state: str) -> bool:
    """An open question, what has failed, or a fact that is waited for."""
    match step.kind:
        case "approval":
            return state in ("ready", "failed")
        case "wait":
            return step.wake_at is None and state not in SETTLED
        case _:
            return state == "failed"


async def tell(
    tx: Tx,
    ledgers: Sequence[Ledger],
    steps: Mapping[int, Sequence[LedgerStep]],
    moves: Mapping[int, Sequence[Move]],
    ended: Sequence[int],
) -> None:
    """What is new of these changes is emitted, where somebody subscribes to it. The caller holds
    the ledgers' rows and has made the moves."""
    if not is_told(tx):
        return
    holds = await hold_rows.open_holds(tx)
    news: list[tuple[Ledger, Progress]] = []
    for ledger in ledgers:
        if not ledger.key.startswith(_CHANGES):
            continue
        its_steps = steps[ledger.id]
        found = await aside_if(
            len(its_steps) > MANY,
            progress,
            ledger,
            its_steps,
            moves[ledger.id],
            has_ended=ledger.id in ended,
            holds=holds,
        )
        # What ended before anybody listened is no news.
        is_over = ledger.state != "open" and not ledger.told
        if found.mark != ledger.told and not is_over:
            news.append((ledger, found))
    if not news:
        return
    blocking = await step_rows.standing(tx, [s.id for _, found in news for s in found.blocked_by])
    ids = await ledger_rows.ids_at_source(tx, [ledger.key for ledger, _ in news])
    await ledger_rows.mark_told(tx, [(ledger.id, found.mark) for ledger, found in news])
    await outbox_rows.emit(
        tx,
        [
            emission(
                EVENT,
                f"change-progress/{ledger.key.removeprefix(_CHANGES)}",
                encode(said(ledger, found, blocking, ids.get(ledger.key, ""))),
                lane=lane_following(EVENT, ledger.lane),
                correlation_id=ledger.correlation_id,
                causation_id=ledger.key,
            )
            for ledger, found in news
        ],
    )


def said(
    ledger: Ledger, found: Progress, blocking: Mapping[int, Standing], source_id: str
) -> ChangeProgressed:
    """What the event says: of each owner the oldest of what waits for it, and how much does; who
    holds some of it, and why."""
    by_owner: dict[str, list[Standing]] = {}
    for step in found.blocked_by:
        waits = blocking[step.id]
        by_owner.setdefault(waits.owner, []).append(waits)
    blockers = [
        ChangeBlocker(owner=owner, reason=waiting[0].words, steps=len(waiting))
        for owner, waiting in sorted(by_owner.items())
    ]
    blockers += [
        ChangeBlocker(owner=hold.by, reason=held(hold.words), steps=calls)
        for hold, calls in found.held
    ]
    if found.paused:
        reason = held(ledger.pause_words)
        blockers.append(ChangeBlocker(owner=ledger.paused_by, reason=reason, steps=0))
    return ChangeProgressed(
        number=ledger.key.removeprefix(_CHANGES),
        version=ledger.version,
        title=ledger.title,
        status=found.status,
        blocked_by=tuple(blockers),
        source_id=source_id,
    )
