"""What follows from messages at other systems: by rules, or as far as a message alone tells it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from canonical.catalogue import Catalogue
from canonical.effects import Effect, Open, Plan
from canonical.errors import Failure
from canonical.rules import Rules
from ops.mapping.entries import FINDING, STOPPED, Entry, entries, fault
from ops.mapping.requests import Call, calls_of, direct_calls, read_step, request_entries
from ops.mapping.translation import Translation, follow


class Landscape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rules, and the systems that they name.

    systems: driver by name of the system. reads_from: by source, the system that it speaks of.
    """

    rules: Rules
    systems: dict[str, str]
    reads_from: dict[str, str] = {}


class Consequences(msgspec.Struct, frozen=True):
    """What follows from all messages together. Without a landscape there are no plans."""

    plans: tuple[Plan, ...] = ()
    calls: tuple[Call, ...] = ()
    cases: tuple[Open, ...] = ()
    failures: tuple[Failure, ...] = ()


def consequences_of(
    translations: Sequence[Translation],
    *,
    catalogue: Catalogue,
    landscape: Landscape | None,
    now: datetime,
) -> Consequences:
    """What follows from what these messages state, for targets that hold nothing yet."""
    if landscape is None:
        effects = [effect for translation in translations for effect in translation.effects]
        return Consequences(calls=tuple(direct_calls(effects, catalogue)))
    followed = follow(
        translations,
        catalogue=catalogue,
        rules=landscape.rules,
        reads_from=landscape.reads_from,
        now=now,
    )
    steps = [read_step(fetch) for fetch in followed.reads]
    steps += [step for plan in followed.plans for step in plan.steps]
    calls = tuple(calls_of(steps, catalogue, landscape.systems, landscape.rules))
    return Consequences(followed.plans, calls, followed.cases, followed.failures)


def beyond(before: Consequences, after: Consequences) -> tuple[Call, ...]:
    """The calls that only the later state of knowledge leads to, or leads to with other content."""
    known = {call.step.identity: call.step.operation for call in before.calls}
    return tuple(
        call for call in after.calls if known.get(call.step.identity) != call.step.operation
    )


def as_entries(found: Consequences) -> tuple[Entry, ...]:
    """Everything that a field of a message may make a difference in: requests, findings, cases, and
    what a flow refuses."""
    cases: tuple[Effect, ...] = found.cases
    return (
        *request_entries(found.calls),
        *(
            Entry(FINDING, finding.where, msgspec.structs.asdict(finding))
            for plan in found.plans
            for finding in plan.findings
        ),
        *entries(cases),
        *(Entry(STOPPED, failure.where, fault(failure)) for failure in found.failures),
    )
