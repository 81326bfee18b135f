"""What people do to single steps of a ledger, as values: which step is meant, whether it may be
skipped, and what runs anew with it.

Pure. Who calls these functions holds the ledger's row lock, as with broker.ledger.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from broker.ledger import AT_TARGET, NOT_SENT, LedgerStep, Move, current
from canonical.errors import Conflict, Rejected

# Error texts name so many steps.
_NAMED = 3


class Again(msgspec.Struct, frozen=True):
    """What runs anew.

    returns: steps that wait again, with all their tries before them. repeats: steps that were done
    or decided: a form more of each, of the same content.
    """

    returns: tuple[LedgerStep, ...]
    repeats: tuple[LedgerStep, ...]


def named(steps: Sequence[LedgerStep], word: str) -> LedgerStep:
    """The current step with that id or identity.

    Raises: Rejected("not-found"); Conflict("not-current") for an id of a former form.
    """
    now = current(steps)
    if word in now:
        return now[word]
    found = [step for step in steps if word.isascii() and word.isdigit() and step.id == int(word)]
    if not found:
        near = difflib.get_close_matches(word, now, n=_NAMED, cutoff=0.6)
        raise Rejected(
            "not-found",
            f"The change has no step {word!r}",
            where="neither its number nor its identity is that",
            remedy=f"Did you mean {' or '.join(near)}?" if near else "Look at `change show --all`",
        )
    (step,) = found
    if step is not now[step.identity]:
        raise Conflict(
            "not-current",
            f"Step {step.id} has a newer form: {now[step.identity].id}",
            where=step.identity,
            remedy="Name the newer one",
        )
    return step


def skip(step: LedgerStep, why: str) -> Move:
    """The step is not made, and what stands behind it goes on.

    Raises: Rejected("approval-not-skipped"); Conflict("at-target") or Conflict("settled").
    """
    if step.state in AT_TARGET:
        raise _at_target([step], "skipped")
    if step.state not in NOT_SENT and step.state != "failed":
        raise Conflict(
            "settled",
            f"The step is {step.state}: there is nothing of it to skip",
            where=step.identity,
            remedy="Look at the change: somebody was quicker, or it is another step",
        )
    if step.kind == "approval":
        raise Rejected(
            "approval-not-skipped",
            "An approval is decided, not skipped",
            where=step.identity,
            remedy=f"Decide it: layshaft task show {step.id}",
        )
    return Move(step, "skipped", why)


def restart(steps: Sequence[LedgerStep], step: LedgerStep) -> Again:
    """What runs anew with the step: itself and, of what follows it, what was done, failed or
    skipped.

    Of what follows, decisions of people, facts that came and what was announced stay as they are:
    they are as true as before. An undo runs once: what it did is not done again by the way.
    Raises: Conflict("at-target") if one of them is at its target; Conflict("not-run") if the step
    has not come to an end that could be repeated.
    """
    if step.undoes:
        raise Conflict(
            "not-run",
            "An undo does not run anew",
            where=step.identity,
            remedy="Try again what failed of it by its case: layshaft case list; or skip it",
        )
    following = [s for s in behind(current(steps), step.identity) if not s.undoes]
    if under_way := [s for s in (step, *following) if s.state in AT_TARGET]:
        raise _at_target(under_way, "run anew")
    _require_end(step)
    anew = [step, *(s for s in following if _runs_with(s))]
    return Again(
        returns=tuple(s for s in anew if not _is_repeated(s)),
        repeats=tuple(s for s in anew if _is_repeated(s)),
    )


def behind(now: Mapping[str, LedgerStep], identity: str) -> tuple[LedgerStep, ...]:
    """The current steps that depend on that one, over any number of steps, in ledger order."""
    dependants: dict[str, list[str]] = {}
    for step in now.values():
        for needed in step.depends_on:
            dependants.setdefault(needed, []).append(step.identity)
    found: set[str] = set()
    left = [identity]
    while left:
        for following in dependants.get(left.pop(), ()):
            if following not in found:
                found.add(following)
                left.append(following)
    return tuple(step for step in now.values() if step.identity in found)


def _runs_with(step: LedgerStep) -> bool:
    """Whether a step runs anew because one before it does."""
    if step.kind == "call":
        return step.state in ("done", "failed", "skipped")
    return step.state == "skipped"


def _is_repeated(step: LedgerStep) -> bool:
    """Whether what became of it stays on record beside its new form. A decision is one on the
    question that was asked then."""
    return step.state == "done" or step.kind == "approval"


def _require_end(step: LedgerStep) -> None:
    if step.kind == "wait" and step.state == "done":
        why, remedy = "its fact is known, and stays so", "Restart what stands behind it"
    elif step.state in ("done", "failed", "skipped"):
        return
    elif step.state == "held":
        why = f"it is held: {step.reason}"
        remedy = "Restart or skip what failed before it, or resume the change"
    elif step.state in NOT_SENT:
        why, remedy = "it has not run yet", "Wait for its turn, or look at what it waits for"
    else:
        why, remedy = f"it is {step.state}: nobody plans it any more", "Look at the change"
    raise Conflict(
        "not-run", f"The step cannot run anew: {why}", where=step.identity, remedy=remedy
    )


def _at_target(steps: Iterable[LedgerStep], what: str) -> Conflict:
    under_way = list(steps)
    shown = ", ".join(f"{s.id} ({s.identity})" for s in under_way[:_NAMED])
    rest = f" and {len(under_way) - _NAMED} more" if len(under_way) > _NAMED else ""
    is_one = len(under_way) == 1
    return Conflict(
        "at-target",
        f"{'A step that is' if is_one else 'Steps that are'} at the target cannot be {what}",
        where=f"{shown}{rest}",
        remedy=f"Give the command again once {'it has' if is_one else 'they have'} ended",
    )
