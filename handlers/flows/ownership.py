"""What a statement changes of an object whose values have owners, and what becomes of the rest: a
question about each system that states what is not its own, in a ledger of its own.

The question is made anew with whatever is heard of the object, and ends once the values agree.
docs/adr/0057.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from canonical.codec import encode, guard, read_event
from canonical.effects import Effect, Open, Plan, Put, Step
from canonical.envelope import Lane, Message
from canonical.errors import InvalidMessage
from canonical.events import AcceptedValue, ApprovalRequested, ForeignValuesAccepted
from canonical.facts import Document, Facts
from canonical.handler import Handler
from canonical.heard import BEFORE, Heard, LastWord, heard_key
from canonical.item import item_key
from canonical.operations import Announce, Approve, AwaitFact, Operation, verb
from canonical.ownership import (
    ENTITIES,
    Disputed,
    Entity,
    Path,
    is_owned,
    is_path,
    judge,
    owner_of,
    read,
    state_of,
    values,
    with_values,
)
from canonical.rules import Rules
from handlers.flows.distribution import plans_of
from handlers.flows.planning import DUE_S, LAYSHAFT
from handlers.flows.transitions import transitions

FLOW = "ownership"
QUESTION = "foreign-values"
_KINDS = {entity.document: name for name, entity in ENTITIES.items()}
# So many values are shown; the rest is counted.
NAMED = 12
_UNKNOWN = "an unknown system"


class Statement(msgspec.Struct, frozen=True):
    """What a system says of an object.

    key: of its document. source: who says so, "" where nobody knows. order: of the system's own
    statements. content: by which a repetition is known. said: the object as the system has it, made
    from the object as it had it before.
    """

    key: str
    source: str
    order: tuple[int, int]
    content: bytes
    said: Callable[[Any], Document]

    @property
    def entity(self) -> Entity:
        """What it is about."""
        return ENTITIES[self.key.partition("/")[0]]


def is_guarded(rules: Rules, key: str) -> bool:
    """Whether anybody owns values of the object with that key."""
    return is_owned(rules.ownership, key.partition("/")[0])


def keys_of(rules: Rules, key: str) -> frozenset[str]:
    """Document keys that deciding on a statement about the object takes."""
    return frozenset({key, heard_key(key)} if is_guarded(rules, key) else {key})


def may_state(source: str, document: Document, facts: Facts, group: str) -> bool:
    """Whether that system may change the group of the object that is so."""
    kind = _KINDS[type(document)]
    state = state_of(document, _parent(document, facts))
    row = owner_of(facts.rules.ownership, kind, group, state)
    return row is None or source in row.speakers


def taken(
    statement: Statement,
    before: Document | None,
    first: tuple[int, int],
    facts: Facts,
    now: datetime,
    lane: Lane,
) -> tuple[Effect, ...]:
    """What the statement changes, what it does not and is asked about, and what follows from both.

    before: the object as it is known; first: order of the statement that it is after, where no
    owners were named then.
    """
    entity, key, order = statement.entity, statement.key, statement.order
    heard = facts.heard(key)
    if heard is None:
        heard = Heard((LastWord(BEFORE, *first),) if before is not None else ())
    last = heard.of(statement.source)
    word = last or LastWord(statement.source, *order)
    if order < word.order:
        return (_stale(key, heard),)
    digest = hashlib.sha256(statement.content).hexdigest()
    is_again = last is not None and (last.order, last.digest) == (order, digest)
    later = [each.order for each in heard.words if each.source != statement.source]
    is_latest = all(order >= each for each in later)
    said = statement.said(_as_said(entity, before, word))
    state = state_of(before or said, _parent(before or said, facts))
    judged = judge(
        facts.rules.ownership, entity, state, statement.source, before, said, is_latest=is_latest
    )
    disputes = word.disputes + (judged.disputed not in ((), word.disputed))
    word = LastWord(
        statement.source,
        *order,
        digest,
        word.count + (not is_again),
        judged.disputed,
        disputes,
    )
    effects: list[Effect] = []
    after: Document | None = judged.document
    is_news = after is not None and after != before
    if is_news:
        after = _stamped(after, before, said)
        effects.append(Put(key, order[0], after, order[1], follows=True))
    if judged.is_outdated and not is_again:
        # What nobody owns was said later by somebody else: on record, as anything that is stale.
        is_first = facts.heard(key) is None
        effects.append(Put(key, order[0], said, order[1]) if is_first else _stale(key, heard))
    if word != last or is_news:
        effects.append(_heard(key, heard.with_word(word)))
    if judged.disputed:
        effects += _asked(statement, word, judged.document is None, said, facts, now, lane)
    elif last is not None and last.disputed:
        effects.append(_plan(statement.key, word, ()))
    if after is not None and is_news:
        effects += transitions(before, after)
    if after is not None and not is_again:
        effects += plans_of(after, statement.source, facts.rules, now)
    return tuple(effects)


def _heard(key: str, heard: Heard) -> Put:
    """What was heard is this now.

    Whatever changes an object whose values have owners writes it as well, and it is always the next
    after what was read: of two that have read the same one, the second is decided anew.
    """
    return Put(heard_key(key), 0, heard, follows=True)


def _stale(key: str, heard: Heard) -> Put:
    """Nothing is written, and that is on record: older than whatever was heard."""
    return Put(heard_key(key), 0, heard, stated=-1)


def _as_said(entity: Entity, before: Any, word: LastWord) -> Any:
    """The object as the system last had it: with what it was not let change."""
    if before is None or entity.is_whole:
        return before
    theirs = {each.path: read(entity, each.path, each.stated) for each in word.disputed}
    return with_values(entity, before, theirs)


def _parent(document: Document, facts: Facts) -> Any:
    parent = getattr(document, "parent", None)
    return facts.item(parent) if parent else None


def _stamped(after: Any, before: Any, said: Any) -> Any:
    """The object with what tells its statement: the later one of both, under the first origin."""
    if before is None:
        return after
    changes: dict[str, Any] = {}
    if "version" in after.__struct_fields__:
        changes["version"] = max(before.version, said.version)
    times = [each.stated_at for each in (before, said) if each.stated_at is not None]
    changes["stated_at"] = max(times, default=None)
    if getattr(before, "origin", "") == "" and getattr(said, "origin", ""):
        changes["origin"] = said.origin
    return replace(after, **changes)


# The question


def _asked(
    statement: Statement,
    word: LastWord,
    is_unknown: bool,
    said: Document,
    facts: Facts,
    now: datetime,
    lane: Lane,
) -> tuple[Effect, ...]:
    """The plan with the question, and the case that tells of it."""
    key, source, rules = statement.key, word.source or _UNKNOWN, facts.rules
    kind, _, number = key.partition("/")
    role = rules.approvers.get(QUESTION, statement.entity.asked)
    owners = ", ".join(sorted({each.owner for each in word.disputed}))
    count = len(word.disputed)
    what = f"{count} value{'s' if count > 1 else ''} of {key}, which {owners} owns"
    text = f"May {source} change {what}?" if not is_unknown else f"May {source} bring in {key}?"
    evidence = tuple(_lines(word.disputed))
    covers = hashlib.sha256(encode((word.disputes, word.disputed))).hexdigest()
    signatures = rules.signatures.get(QUESTION, 1)
    ledger = ledger_key(key, word.source)
    requested = ApprovalRequested(ledger.partition("/")[2], QUESTION, text, role, evidence)
    accepted = ForeignValuesAccepted(
        key,
        source,
        word.disputes,
        tuple(AcceptedValue(each.path, each.known, each.stated) for each in word.disputed),
        encode(said).decode() if is_unknown else "",
    )

    def step(
        system: str, about: tuple[str, str], operation: Operation, *after: Step, owner: str = role
    ) -> Step:
        return Step(
            plant="",
            system=system,
            object_kind=about[0],
            object_id=about[1],
            operation=operation,
            depends_on=tuple(each.identity for each in after),
            owner=owner,
            lane=lane,
            due_s=rules.due_s.get(verb(operation), DUE_S),
            calendar=rules.calendar_of(role) if isinstance(operation, Approve) else None,
        )

    decision = step(role, (kind, number), Approve(QUESTION, text, evidence, signatures, covers))
    notice = step(
        LAYSHAFT,
        (kind, number),
        Announce("approval.requested", ledger, msgspec.Raw(encode(requested))),
    )
    change = step(
        LAYSHAFT,
        (QUESTION, number),
        Announce("foreign-values.accepted", key, msgspec.Raw(encode(accepted))),
        decision,
    )
    seen = heard_key(key)
    reason = f"{source} and {owners} agree"
    agreed = step(LAYSHAFT, (FLOW, number), AwaitFact(seen, facts.version(seen), reason))
    return (
        _plan(key, word, (decision, notice, change, agreed)),
        Open(
            code=QUESTION,
            word="ownership_conflict",
            what=f"{source} states {what}; what is known stays: {'; '.join(evidence)}",
            where=f"{source}: dispute {word.disputes} of {key}",
            remedy=f"Take it over or refuse it (layshaft task list --change {ledger}), correct it"
            f" in {source}, or have {owners} state it: the case closes once they agree",
            owner=role,
        ),
    )


def _plan(key: str, word: LastWord, steps: tuple[Step, ...]) -> Plan:
    source = word.source or _UNKNOWN
    return Plan(ledger_key(key, word.source), word.count, f"What {source} states of {key}", steps)


def ledger_key(key: str, source: str) -> str:
    """Key of the ledger about what that system states of the object, whose document has the key."""
    return f"{FLOW}/{source or 'unknown'}/{key}"


def _lines(disputed: tuple[Disputed, ...]) -> list[str]:
    lines = [
        f"{each.name} ({each.owner}'s): {each.known or 'nothing'} -> {each.stated or 'nothing'}"
        for each in disputed[:NAMED]
    ]
    more = len(disputed) - NAMED
    return [*lines, f"and {more} more"] if more > 0 else lines


# The answer


def accepted_keys(message: Message[ForeignValuesAccepted], facts: Facts) -> frozenset[str]:
    """The object, what was heard of it, and of a BOM also its item."""
    key = message.payload.key
    known = facts.documents.get(key)
    parent = getattr(known.document, "parent", "") if known else ""
    return frozenset({key, heard_key(key), *((item_key(parent),) if parent else ())})


def take_over(
    message: Message[ForeignValuesAccepted], facts: Facts, now: datetime
) -> tuple[Effect, ...]:
    """The values are what was accepted, as far as they are still what was shown; what is not is
    asked about again, as something was heard of the object."""
    said = message.payload
    entity = ENTITIES.get(said.key.partition("/")[0])
    if entity is None or not all(is_path(entity, value.path) for value in said.values):
        raise InvalidMessage(
            "value-unknown",
            "The object has no such values",
            where="foreign-values.accepted: values",
            remedy="Report it; nothing was changed",
            owner="layshaft team",
        )
    known = facts.documents.get(said.key)
    before: Any = known.document if known else None
    after = _accepted(entity, before, said)
    heard = facts.heard(said.key) or Heard()
    effects: list[Effect] = [_heard(said.key, replace(heard, accepted=heard.accepted + 1))]
    if after is None or after == before:
        return tuple(effects)
    effects.append(Put(said.key, 0, after, follows=True))
    effects += transitions(before, after)
    state = state_of(before or after, _parent(before or after, facts))
    for value in said.values[:1]:
        group = entity.group_of(value.path[0])
        row = owner_of(facts.rules.ownership, entity.name, group, state)
        effects += plans_of(after, row.owner if row else said.stated_by, facts.rules, now)
    return tuple(effects)


def _accepted(entity: Entity, before: Any, said: ForeignValuesAccepted) -> Any:
    """The object with what was accepted; None where nothing is known of it."""
    where = "foreign-values.accepted"
    if before is None:
        if not said.document:
            return None
        return guard(lambda: msgspec.json.decode(said.document, type=entity.document), where=where)
    now = values(entity, before)
    changes: dict[Path, Any] = {}
    for path, shown, stated in guard(lambda: _read_values(entity, said), where=where):
        if now.get(path, shown) == shown:
            changes[path] = stated
    return with_values(entity, before, changes)


def _read_values(entity: Entity, said: ForeignValuesAccepted) -> list[tuple[Path, Any, Any]]:
    """By path, what was shown as known and what is to be known."""
    return [
        (each.path, read(entity, each.path, each.known), read(entity, each.path, each.stated))
        for each in said.values
    ]


ACCEPTED = Handler(
    name="foreign-values.accepted",
    scope=FLOW,
    types=("foreign-values.accepted",),
    read=read_event,
    needs=accepted_keys,
    decide=take_over,
)
