"""What an undo of a change would do, and what it leaves to people, as it is shown: what the command
and the console both say."""

from __future__ import annotations

import msgspec

from broker.controls import Shown
from broker.differences import FIELDS, fields
from canonical.codec import encode
from canonical.operations import Operation
from handlers.flows.target_changes import TargetChange, changes_back


class UndoStep(msgspec.Struct, frozen=True):
    """A step that is left behind, or may come to be. changes: what its undo would change;
    is_under_way: it is at its target, and only its end will tell; why_not: it is not undone."""

    step: int
    identity: str
    changes: tuple[TargetChange, ...] = ()
    is_under_way: bool = False
    why_not: str = ""


class UndoStatus(msgspec.Struct, frozen=True):
    """What would be undone, and what is left to people, in the order of the ledger. mark: what
    consent to it names; "" = nothing can be undone."""

    key: str
    mark: str
    undone: tuple[UndoStep, ...]
    left: tuple[UndoStep, ...]


def undo_status(found: Shown) -> UndoStatus:
    """What was found, with what each undo would change."""
    undos = found.undos
    return UndoStatus(
        key=found.key,
        mark=undos.mark if undos.undos else "",
        undone=tuple(
            UndoStep(
                each.step.id,
                each.step.identity,
                _changes(found.contents.get(each.step.id)),
                each.is_under_way,
            )
            for each in undos.undos
        ),
        left=tuple(
            UndoStep(each.step.id, each.step.identity, why_not=each.why) for each in undos.left
        ),
    )


def _changes(contents: tuple[Operation, Operation] | None) -> tuple[TargetChange, ...]:
    """What putting back would change; by its fields, where nothing says it in better words."""
    if contents is None:
        return ()
    wrote, back = contents
    changes = changes_back(wrote, back)
    if changes is not None:
        return changes
    found = fields(*(msgspec.json.decode(encode(each)) for each in contents))
    return tuple(TargetChange("changed", each.path, each.was, each.now) for each in found[:FIELDS])
