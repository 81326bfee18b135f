"""What must hold after every commit, and when everything has come to rest."""

from __future__ import annotations

from collections import Counter

from broker.store.order import OrderKey
from canonical.codec import decode_json
from canonical.effects import Emit
from tests.simulation.business import RECORD, SUBSCRIBED, Record, record_key
from tests.simulation.memory import MemoryUnit, queues_of
from tests.simulation.tables import InboxRow, LogRow, PendingRow
from tests.simulation.world import Violation, World

# Ends after which nothing of a message waits, and whether it was decided into effects.
DECIDED = {"applied": True, "stale": True, "superseded": False, "discarded": False}
# Ends of foreign messages that could not be read, or must not be: there is no key to wait under.
SET_ASIDE = ("invalid", "parked", "dead-letter")


def after_commit(world: World, unit: MemoryUnit) -> None:
    """Holds, rows and cases belong together, and nothing has overtaken what waits."""
    world.tell(unit)
    world.suspect(unit)
    queues = queues_of(world.tables.pending.values())
    _hold(set(queues) == set(world.tables.holds), "a hold without rows, or rows without hold")
    # A message that fails like an older one of its object joins the case of that one.
    in_cases = {(c.case.key, c.case.code) for c in world.tables.cases.values() if c.state == "open"}
    for key, queue in queues.items():
        _hold(queue[0].state != "parked", f"the oldest row of {key} waits for nothing")
        for row in queue:
            if row.state == "in_case":
                _hold(
                    (row.key, row.reason) in in_cases, f"{row} waits for a person, but in no case"
                )
            _blame(world, row)
    _nothing_overtook(unit, queues)


def at_rest(world: World) -> None:
    """Nothing is lost, nothing happened twice, everything happened in order."""
    tables = world.tables
    _hold(world.broker.is_empty, "messages are left in queues")
    _hold(not tables.outbox, "events are left in the outbox")
    _hold(not tables.locks, "locks are left")
    _hold(not tables.attempts, "deliveries count as begun that nobody has in hand")
    effects = _effects(world)
    _numbered_without_gaps(world)
    _accounted_for(world, effects)
    _in_order(world, effects)


def _hold(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


def _blame(world: World, row: PendingRow) -> None:
    """Attempts and cases are for messages that did fail themselves."""
    is_suspect = (
        row.reason == "crashes-the-worker" and world.number_of(row.position) in world.quarantined
    )
    if not (is_suspect or world.has_own_fault(row.position)):
        _hold(row.attempts == 0 and row.state != "in_case", f"{row} is blamed for nothing")


def _nothing_overtook(unit: MemoryUnit, queues: dict[OrderKey, list[PendingRow]]) -> None:
    for verdict, position in zip(unit.verdicts, unit.positions, strict=True):
        key = verdict.work.order_key
        if key is None or not any(isinstance(e, Emit) for e in verdict.effects):
            continue
        for row in queues.get(key, []):
            _hold(
                row.position.seq > position.seq,
                f"{verdict.work.entry.envelope.id} has overtaken {row}",
            )


def _effects(world: World) -> dict[str, list[tuple[str, int]]]:
    """By record: the messages that were decided, as (id, number), in that order."""
    effects: dict[str, list[tuple[str, int]]] = {}
    for (key, _), row in sorted(world.tables.events.items()):
        if row.delivery.kind == RECORD:
            n = decode_json(row.delivery.body, Record).n
            effects.setdefault(key, []).append((row.causation_id, n))
    return effects


def _numbered_without_gaps(world: World) -> None:
    seen: dict[str, list[int]] = {}
    for key, number in sorted(world.tables.events):
        seen.setdefault(key, []).append(number)
    for key, numbers in seen.items():
        last = world.tables.numbers[key]
        _hold(numbers == list(range(1, last + 1)), f"numbers of {key}: {numbers}, last {last}")
    in_log = Counter((row.key, row.sequence) for row in _events(world))
    _hold(all(n == 1 for n in in_log.values()), "a number was given twice")


def _events(world: World) -> list[LogRow]:
    return [row for row in world.tables.log.values() if row.direction == "out"]


def _accounted_for(world: World, effects: dict[str, list[tuple[str, int]]]) -> None:
    """Every accepted message has exactly one end, and its effects as often as that end says."""
    tables = world.tables
    times = Counter(n for record in effects.values() for _, n in record)
    waiting = Counter(world.number_of(row.position) for row in tables.pending.values())
    ends: dict[int, list[tuple[str, InboxRow]]] = {}
    known = {row.case.position for row in tables.cases.values()}
    conflicts = 0
    for (subscription, _, _), row in tables.inbox.items():
        if subscription == "id-conflict":
            conflicts += 1
        else:
            ends.setdefault(world.number_of(row.position), []).append((subscription, row))
    _hold(conflicts == len(world.conflicts), f"{conflicts} conflicting ids are kept")
    accepted = {sent.notice.n for sent in world.traffic.sent} | {
        world.number_of(row.position) for row in _events(world) if row.delivery.kind in SUBSCRIBED
    }
    _hold(ends.keys() == accepted, f"lost: {sorted(accepted - ends.keys())}")
    for n in sorted(accepted):
        # Quarantined: it was in hand in processes that ended, as world.suspicion has seen.
        if len(ends[n]) > 1 and (n in world.business.mended or n in world.quarantined):
            # Set aside unread; then it came again and could be read. Or it was quarantined, and had
            # been taken by the first of those processes.
            ends[n] = [end for end in ends[n] if end[0] != "unread"]
        position = ends[n][0][1].position
        words = [(subscription, row.outcome) for subscription, row in ends[n]]
        _hold(len(words) == 1, f"message {n} has more than one end: {words}")
        subscription, word = words[0]
        if waiting[n]:
            _hold(waiting[n] == 1, f"message {n} waits {waiting[n]} times")
            _hold(times[n] == 0, f"message {n} waits and has effects")
        elif subscription == "unread":
            _hold(word in SET_ASIDE and not times[n], f"message {n} is set aside as {word}")
            _hold(
                world.has_own_fault(ends[n][0][1].position) or n in world.quarantined,
                f"message {n} is set aside for nothing",
            )
            _hold(position in known, f"message {n} is set aside without a case")
            _hold(
                world.tables.log[position].direction == "in",
                f"event {n} is known by its headers, and set aside as if it were not",
            )
        else:
            # It was quarantined before anybody knew its key.
            passed = word == "passed" and n in world.quarantined and position in known
            _hold(word in DECIDED or passed, f"message {n} ended as {word}")
            _hold(
                times[n] == DECIDED.get(word, False), f"message {n} is {word}, effects {times[n]}"
            )


def _in_order(world: World, effects: dict[str, list[tuple[str, int]]]) -> None:
    """Decisions about one object are in the order of its events, or of their arrival."""
    places = {
        (record_key(_scope(world, subscription), world.tables.log[row.position].key), id_): row
        for (subscription, _, id_), row in world.tables.inbox.items()
        if subscription not in ("id-conflict", "unread")
    }
    for record, decided in effects.items():
        rows = [world.tables.log[places[record, id_].position] for id_, _ in decided]
        numbers = [row.sequence or row.position.seq for row in rows]
        _hold(numbers == sorted(numbers), f"{record} was decided in the order {numbers}")


def _scope(world: World, subscription: str) -> str:
    return world.business.handler_named(subscription).scope
