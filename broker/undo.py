"""What is undone of a ledger once a person says so, in which order, and what cannot be: pure.

An undo is one more form of the step that it undoes. Its operation is what that one wrote, its
digest is nobody's, and it goes from there to what was there before. Who calls these functions holds
the ledger's row lock, as with broker.ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import msgspec

from broker.ledger import (
    AT_TARGET,
    SETTLED,
    UNKNOWN_BEFORE,
    LedgerStep,
    current,
    digest_of_undo,
)
from broker.left_behind import undecided
from broker.steering import behind
from canonical.effects import parts_of_identity
from canonical.operations import QUESTIONS

# As many hexadecimal digits of a digest tell a person's consent apart from another one.
MARK = 12


class Undo(msgspec.Struct, frozen=True):
    """An undo to be made of a step, as that generation, after these.

    is_under_way: the step is at its target; its undo waits for its end, and lapses where nothing
    was applied, or where nothing is on record then of what was there before.
    """

    step: LedgerStep
    generation: int
    depends_on: tuple[str, ...]
    is_under_way: bool = False

    @property
    def digest(self) -> bytes:
        """That of the new form."""
        return digest_of_undo(self.step)


class Left(msgspec.Struct, frozen=True):
    """A step that is left behind and is not undone, and why."""

    step: LedgerStep
    why: str


class Undos(msgspec.Struct, frozen=True):
    """All that would be undone, in the order of the ledger, and what is left to people."""

    undos: tuple[Undo, ...]
    left: tuple[Left, ...]

    @property
    def mark(self) -> str:
        """What a person who has seen these consents to: others have another one."""
        told = [f"{undo.step.id} {undo.digest.hex()} {undo.is_under_way}" for undo in self.undos]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:MARK]


def undos_of(
    steps: Sequence[LedgerStep], needed_by: Mapping[int, str] = MappingProxyType({})
) -> Undos:
    """What would be undone now of what is left behind, or comes to be once it ends.

    Each after whatever stood behind it in its plan, as far as that is undone too or is not settled.
    needed_by: by id of a step, key of another ledger that counts on what it wrote.
    """
    now = current(steps)
    found = [(step, True) for step in steps if _is_on_its_way_out(step, now)]
    under_way = {step.identity for step, _ in found}
    left: list[Left] = []
    for step in undecided(steps):
        if step.identity in under_way:
            # Its newer form may be what the target holds: that is known once it ends.
            left.append(Left(step, "a newer form of it is at its target"))
        elif step.id in needed_by:
            left.append(Left(step, f"{needed_by[step.id]} made the same true since"))
        elif not step.can_undo:
            left.append(Left(step, step.not_undone or UNKNOWN_BEFORE))
        else:
            found.append((step, False))
    found.sort(key=lambda each: each[0].id)
    undone = {step.identity for step, _ in found}
    # By the forms that were planned: an undo stands the other way round.
    planned = current([step for step in steps if not step.undoes])
    return Undos(
        tuple(
            Undo(
                step,
                now[step.identity].generation + 1,
                tuple(
                    after.identity
                    for after in behind(planned, step.identity)
                    if after.kind == "call"
                    and (after.identity in undone or now[after.identity].state not in SETTLED)
                ),
                is_under_way,
            )
            for step, is_under_way in found
        ),
        tuple(left),
    )


def _is_on_its_way_out(step: LedgerStep, now: Mapping[str, LedgerStep]) -> bool:
    """Whether it is at its target and nobody plans its object any more."""
    if step.kind != "call" or step.state not in AT_TARGET or step.undoes:
        return False
    if parts_of_identity(step.identity).verb in QUESTIONS:
        return False
    latest = now[step.identity]
    return step.withdrawn if latest is step else latest.state == "cancelled"
