"""The course of one ledger under every mixture of plans, answers, crashes and people that a seed
comes up with, and what must hold at each moment of it.

The rules are the broker's own (`broker.ledger`, `broker.steering`, `broker.left_behind`,
`broker.undo`); tables, target and dispatcher are as small as they can be. A transaction may be lost
as a whole, a process may die between any two of claim, write and answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from random import Random

import msgspec

from broker import ledger as rules
from broker import steering
from broker.ledger import AT_TARGET, NOT_SENT, SETTLED, LedgerStep, Move
from broker.left_behind import undecided
from broker.undo import undos_of
from canonical.effects import Plan, Step
from canonical.errors import Conflict, Rejected
from canonical.operations import (
    Announce,
    Approve,
    AwaitFact,
    ExtendToPlant,
    Operation,
    StepKind,
)

KEY = "change/1"
# Kinds by name, so that two plans agree on identities; the last one guards calls.
KINDS: dict[str, StepKind] = {
    "a": "call", "b": "call", "c": "call", "d": "call", "e": "call", "f": "call",
    "n": "announce", "m": "announce", "q": "approval", "w": "wait", "v": "wait", "g": "approval",
}  # fmt: skip
GUARD = "g"
# Objects that were there before the change.
THERE = "abcd"
EVENTS = 80


class Violation(AssertionError):
    """Something that must hold does not."""


class Claim(msgspec.Struct):
    """A call that a process has in hand. digest: what it is to write. begun_as_planned: whether
    the last plan had it with this content when it was claimed. lapses: whether it is looked at
    only, and not written. back: what it is to put back, where it is an undo. found: what it found
    before it wrote, as far as that is to be put on record; None: that of that prior step, if any.
    """

    step_id: int
    identity: str
    digest: bytes
    begun_as_planned: bool
    lapses: bool
    is_fresh: bool = False
    back: bytes | None = None
    found: tuple[bytes | None, str] | None = None
    result: str = ""


class Course:
    """One ledger, its target and whoever works on it. told: what happened, in order."""

    def __init__(self, seed: int) -> None:
        self.die = Random(seed)
        self.told: list[str] = []
        self.rows: dict[int, LedgerStep] = {}
        self.taken = Plan(KEY, 0, "", ())
        self.is_taken_back = False
        self.paused = ""
        self.held: set[str] = set()
        self.claims: list[Claim] = []
        # The target: what each object is now, and how often each step's content was written.
        self.holds: dict[str, bytes] = {
            a_step(name, "", ()).identity: f"{name} before".encode() for name in THERE
        }
        self.writes: Counter[tuple[int, bytes]] = Counter()
        self.announced: Counter[int] = Counter()
        self.approved: set[tuple[str, bytes]] = set()
        # Steps that a person had run anew: of these nobody is asked, before the next plan.
        self.anew: set[int] = set()
        # What each step found before it wrote, as it is on record.
        self.before: dict[int, bytes] = {}
        # By object, as whoever watches the target sees it: what was there before the change wrote,
        # and what the change made of it last, until that is undone; of what a person said that it
        # stays; and what each was planned after, when it was planned last.
        self.clean: dict[str, bytes | None] = {}
        self.ours: dict[str, bytes] = {}
        self.stays: set[str] = set()
        self.after: dict[str, tuple[str, ...]] = {}

    # Everything in turn

    def run(self) -> None:
        """Anything happens, then it comes to rest, and half the time all is undone."""
        acts = (
            (self.plan, 4), (self.plan_again, 2), (self.claim, 8), (self.perform, 8),
            (self.answer, 8), (self.die_off, 2), (self.decide, 4), (self.retry, 2),
            (self.skip, 1), (self.restart, 1), (self.pause, 1),
            (self.resume, 2), (self.cancel, 0.3), (self.hold, 1), (self.release, 2),
            (self.undo, 5), (self.meddle, 3),
        )  # fmt: skip
        chosen = self.die.choices([a for a, _ in acts], [w for _, w in acts], k=EVENTS)
        for act in chosen:
            act()
            self._hold_always()
        self.rest()

    def rest(self) -> None:
        """The last plan waits for nothing, everybody answers, and people say yes."""
        self.resume(certain=True)
        self.held.clear()
        steps = tuple(step for step in self.taken.steps if step.kind != "wait")
        gone = {step.identity for step in self.taken.steps} - {step.identity for step in steps}
        if not self.is_taken_back:
            self._take(_without(steps, gone), self.taken.version)
        self._settle()
        self._hold_at_rest()
        if self.die.random() < 0.5:
            # And all of it is taken back, and undone as far as that goes.
            self._take((), self.taken.version)
            self.is_taken_back = True
            self.undo(certain=True)
            self._settle()
            self._hold_at_rest()

    def _settle(self) -> None:
        for _ in range(200):
            while self.claims:
                self.perform(fault="")
                self.answer(certain=True)
            if not (
                self.claim(certain=True) or self.decide(certain=True) or self.retry(certain=True)
            ):
                break
            self._hold_always()

    # Plans

    def plan(self) -> None:
        """A plan comes: newer, the same version, or an older one that is late."""
        version = max(1, self.taken.version + self.die.choice([-1, 0, 1, 1]))
        steps = self._drawn()
        if not rules.takes(
            Plan(KEY, version, "", steps),
            version=self.taken.version,
            is_taken_back=self.is_taken_back,
        ):
            self._tell("stale plan", version)
            return
        if self._commits():
            self._take(steps, version)

    def plan_again(self) -> None:
        """A fact came that alters nothing: the same plan is made anew, and once more."""
        if not self.is_taken_back and self._commits():
            self._take(self.taken.steps, self.taken.version)
            changes = rules.diff(self._steps(), self.taken)
            _require(
                not (changes.inserts or changes.replaces or changes.moves or changes.withdrawals),
                f"planned twice: {changes}",
            )

    def cancel(self) -> None:
        """A person takes the change back."""
        if not self.is_taken_back and self._commits():
            self._take((), self.taken.version)
            self.is_taken_back = True

    def _take(self, steps: tuple[Step, ...], version: int) -> None:
        self._tell("plan", version, [_name(step.identity) for step in steps])
        self.taken = Plan(KEY, version, "", steps)
        self.after |= {step.identity: step.depends_on for step in steps}
        self.is_taken_back = False
        changes = rules.diff(self._steps(), self.taken)
        self._move(changes.moves)
        for replace in changes.replaces:
            self.rows[replace.old.id] = msgspec.structs.replace(
                replace.old,
                digest=replace.digest,
                depends_on=replace.step.depends_on,
                watched=rules.watched_fact(replace.step),
                state="waiting",
                version=replace.old.version + 1,
                reason="",
            )
        for insert in changes.inserts:
            self._insert(
                LedgerStep(
                    id=0,
                    identity=insert.step.identity,
                    generation=insert.generation,
                    kind=insert.step.kind,
                    state="waiting",
                    version=1,
                    digest=insert.digest,
                    depends_on=insert.step.depends_on,
                    watched=rules.watched_fact(insert.step),
                    lapses=rules.lapses(insert.step),
                )
            )
        for step, is_withdrawn in changes.withdrawals:
            self.rows[step.id] = msgspec.structs.replace(self.rows[step.id], withdrawn=is_withdrawn)
        for step, depends_on in changes.reorders:
            self.rows[step.id] = msgspec.structs.replace(self.rows[step.id], depends_on=depends_on)
        self._advance()
        self._hold_asked()

    def _hold_asked(self) -> None:
        """Nobody is asked before what is made as it is planned."""
        now = rules.current(self._steps())
        made = {
            step.identity
            for step in self.taken.steps
            if (row := now.get(step.identity)) is not None
            and row.digest == rules.digest_of(step)
            and row.state in ("done", "skipped")
        }
        for step in self.taken.steps:
            if step.only_before and made.issuperset(step.only_before):
                row = now.get(step.identity)
                is_open = row is not None and row.state not in SETTLED
                _require(not is_open, f"{step.identity} is asked before what is made")

    def _drawn(self) -> tuple[Step, ...]:
        """A plan without rings; where it is guarded, calls wait for the guard's question."""
        die, chosen = self.die, list[Step]()
        names = die.sample([*KINDS], die.randint(0, len(KINDS)))
        for name in names:
            if name == GUARD:
                continue
            most = 0 if KINDS[name] == "wait" else min(2, len(chosen))
            before = die.sample(chosen, die.randint(0, most))
            chosen.append(a_step(name, die.choice("xyz"), [step.identity for step in before]))
        calls = [step for step in chosen if step.kind == "call"]
        if GUARD not in names or not calls:
            return tuple(chosen)
        about = {step.identity for step in die.sample(calls, die.randint(1, len(calls)))}
        waits = [step.identity for step in chosen if step.kind == "wait"][:1]
        question = msgspec.structs.replace(
            a_step(GUARD, die.choice("xyz"), waits), only_before=tuple(sorted(about))
        )
        return (
            question,
            *(
                msgspec.structs.replace(step, depends_on=(*step.depends_on, question.identity))
                if step.identity in about
                else step
                for step in chosen
            ),
        )

    # Calls

    def claim(self, *, certain: bool = False) -> bool:
        """A process takes the head of an object that nobody has in hand."""
        heads: dict[str, LedgerStep] = {}
        for step in self._steps():
            if step.kind == "call" and step.state in ("ready", "in_doubt"):
                heads.setdefault(step.identity, step)
        busy = {step.identity for step in self._steps() if step.state == "in_flight"}
        free = [s for i, s in sorted(heads.items()) if i not in busy and i not in self.held]
        if not free or not (certain or self._commits()):
            return False
        step = self.die.choice(free)
        latest = rules.current(self._steps())[step.identity]
        lapses = step.withdrawn or latest.generation > step.generation
        wanted = {each.identity: rules.digest_of(each) for each in self.taken.steps}
        as_planned = wanted.get(step.identity) == (None if step.undoes else step.digest)
        if step.state == "ready":
            self._may_begin(step, latest)
        self._tell("claim", step.id, _name(step.identity), step.state, "undo" * bool(step.undoes))
        self._move([Move(step, "in_flight")])
        claim = Claim(step.id, step.identity, step.digest, as_planned, lapses)
        claim.is_fresh = not (step.can_undo or step.not_undone or step.state == "in_doubt")
        if step.undoes:
            claim.back = self.before[step.undoes]
        self.claims.append(claim)
        return True

    def _may_begin(self, step: LedgerStep, latest: LedgerStep) -> None:
        """What is sent for the first time is of the last plan, and its turn has come."""
        planned = {each.identity: each for each in self.taken.steps}
        _require(step is latest and not step.withdrawn, f"{step} is of a superseded plan")
        wanted = planned.get(step.identity)
        if step.undoes:
            _require(wanted is None, f"{step} undoes what is planned")
            _require(not self.paused, f"{step} begins in a paused ledger")
            self._is_last(step)
            return
        _require(wanted is not None, f"{step} is not planned")
        assert wanted is not None
        _require(rules.digest_of(wanted) == step.digest, f"{step} is planned otherwise")
        _require(not self.paused, f"{step} begins in a paused ledger")
        now = rules.current(self._steps())
        for identity in step.depends_on:
            _require(now[identity].state in SETTLED, f"{step} goes before {identity}")
        for identity in wanted.depends_on:
            before = planned[identity]
            is_asked = identity in step.depends_on or step.id not in self.anew
            if before.only_before and is_asked:
                asked = identity, rules.digest_of(before)
                _require(asked in self.approved, f"{step} goes without that approval")

    def _is_last(self, undo: LedgerStep) -> None:
        """Nothing that was planned after what is undone is at work, or is to be undone still."""
        now = rules.current(self._steps())
        for identity, before in self.after.items():
            row = now.get(identity)
            if undo.identity in before and row is not None and row.kind == "call":
                _require(row.state in SETTLED, f"{undo} goes before {identity}")

    def perform(self, *, fault: str | None = None) -> None:
        """The oldest call that has no answer yet reaches its target, or does not."""
        claim = next((c for c in self.claims if not c.result), None)
        if claim is None:
            return
        held = self.holds.get(claim.identity)
        if held == (claim.digest if claim.back is None else claim.back):
            claim.result = "done"
            self._find(claim, is_true=True)
            self._is_made(claim)
        elif claim.lapses:
            claim.result = "ready"
        elif claim.back is not None and held != self._undone(claim).digest:
            claim.result = "failed"
            self._tell("changed since")
        else:
            faults = ["", "", "", "away", "refuse", "lost", "lost and applied"]
            fault = self.die.choice(faults) if fault is None else fault
            if fault in ("", "lost and applied"):
                self._may_be_written(claim)
                self._find(claim, is_true=False)
                self._write(claim)
                self.writes[claim.step_id, claim.digest] += 1
                times = self.writes[claim.step_id, claim.digest]
                _require(times == 1, f"step {claim.step_id} was written {times} times")
            results = {"": "done", "away": "ready", "refuse": "failed"}
            claim.result = results.get(fault, "in_doubt")
        self._tell("target", claim.step_id, claim.result)

    def _may_be_written(self, claim: Claim) -> None:
        """What is planned otherwise when it is claimed is not written any more. What becomes so
        while it is out cannot be called back."""
        _require(claim.begun_as_planned, f"step {claim.step_id} is written for a superseded plan")

    def _write(self, claim: Claim) -> None:
        """The target holds what the call wants; what is undone is as it was before the change."""
        held = self.holds.get(claim.identity)
        if claim.back is not None:
            clean = self.clean[claim.identity]
            _require(claim.back == clean, f"step {claim.step_id} puts back what was not before")
            _require(held == self.ours[claim.identity], "what somebody changed is overwritten")
        elif self.ours.get(claim.identity) != held or held is None:
            self.clean[claim.identity] = held
        self.holds[claim.identity] = claim.digest if claim.back is None else claim.back
        self._is_made(claim)

    def _is_made(self, claim: Claim) -> None:
        """Whoever watches the target knows whose state it holds."""
        if claim.back is None:
            self.ours[claim.identity] = claim.digest
            # Its own undo may be left out while it is at its target: then it stays.
            skipped = {row.undoes for row in self._steps() if row.state == "skipped"}
            if claim.step_id not in skipped:
                self.stays.discard(claim.identity)
        else:
            self._tell("undone", _name(claim.identity))
            self.ours.pop(claim.identity, None)

    def _undone(self, claim: Claim) -> LedgerStep:
        return self.rows[self.rows[claim.step_id].undoes]

    def _find(self, claim: Claim, *, is_true: bool) -> None:
        """What is there before the write, for the record. is_true: nothing is written."""
        if not claim.is_fresh or claim.back is not None:
            return
        held = self.holds.get(claim.identity)
        former = [
            row
            for row in self._steps()
            if row.identity == claim.identity
            and row.generation < self.rows[claim.step_id].generation
            and not row.undoes
            and (row.state == "done" or row.reason.startswith(rules.LEFT_BEHIND))
        ]
        if former and held == former[-1].digest:
            prior = former[-1]
            claim.found = self.before.get(prior.id), prior.not_undone
        elif is_true:
            claim.found = None, "it was so before"
        else:
            claim.found = held, "" if held is not None else "it was made"

    def _record(self, claim: Claim) -> None:
        if claim.found is None or claim.result not in ("done", "in_doubt"):
            return
        before, why_not = claim.found
        if before is not None:
            self.before[claim.step_id] = before
        self.rows[claim.step_id] = msgspec.structs.replace(
            self.rows[claim.step_id], can_undo=before is not None, not_undone=why_not
        )

    def answer(self, *, certain: bool = False) -> None:
        """The result of the oldest call is in its ledger."""
        if self.claims and self.claims[0].result and (certain or self._commits()):
            claim = self.claims.pop(0)
            self._record(claim)
            self._move([Move(self.rows[claim.step_id], claim.result)])
            self._advance()

    def die_off(self) -> None:
        """A process dies: what it had in hand is in doubt, whatever came of it."""
        if self.claims:
            claim = self.claims.pop(self.die.randrange(len(self.claims)))
            self._tell("died with", claim.step_id)
            row = self.rows[claim.step_id]
            if not (row.can_undo or row.not_undone):
                row = self.rows[row.id] = msgspec.structs.replace(row, not_undone="nobody said")
            self._move([Move(row, "in_doubt")])

    # People

    def decide(self, *, certain: bool = False) -> bool:
        """Somebody answers an open question."""
        asked = [s for s in self._current() if s.kind == "approval" and s.state == "ready"]
        if not asked or not (certain or self._commits()):
            return False
        step = self.die.choice(asked)
        verdict = "done" if certain or self.die.random() < 0.8 else "failed"
        self._tell("decided", _name(step.identity), verdict)
        if verdict == "done":
            self.approved.add((step.identity, step.digest))
        self._move([Move(step, verdict)])
        self._advance()
        return True

    def retry(self, *, certain: bool = False) -> bool:
        """A person has what failed tried again; a question that was refused is asked anew."""
        failed = [s for s in self._current() if s.state == "failed"]
        if not failed or not (certain or self._commits()):
            return False
        step = self.die.choice(failed)
        if step.undoes and certain:
            # What is at the target stays as somebody made it.
            self.stays.add(step.identity)
            self._move([steering.skip(step, "left out")])
            self._advance()
        elif step.kind == "call":
            self._move([Move(step, "ready")])
            self._advance()
        else:
            self._restart(step)
        return True

    def skip(self) -> None:
        """A person leaves a step out."""
        if self.rows and self._commits():
            step = self.die.choice(self._current())
            try:
                self._move([steering.skip(step, "left out")])
            except (Conflict, Rejected):
                return
            self._tell("skipped", _name(step.identity))
            if step.undoes:
                self.stays.add(step.identity)
            self._advance()

    def restart(self) -> None:
        """A person has a step run anew, with what follows it."""
        if self.rows and self._commits():
            self._restart(self.die.choice(self._current()))

    def _restart(self, step: LedgerStep) -> None:
        try:
            again = steering.restart(self._steps(), step)
        except Conflict:
            return
        self._tell("run anew", _name(step.identity))
        for each in again.returns:
            self.rows[each.id] = msgspec.structs.replace(
                each, state="waiting", reason="", version=each.version + 1
            )
            self.anew.add(each.id)
        for each in again.repeats:
            if each.kind == "approval":
                self.approved.discard((each.identity, each.digest))
            self._insert(
                msgspec.structs.replace(
                    each,
                    generation=each.generation + 1,
                    state="waiting",
                    version=1,
                    reason="",
                    can_undo=False,
                    not_undone="",
                )
            )
            self.anew.add(len(self.rows))
        self._advance()

    def undo(self, *, certain: bool = False) -> None:
        """A person wants undone whatever is left behind and can be."""
        found = undos_of(self._steps())
        if not found.undos or not (certain or self._commits()):
            return
        self._tell("undo", [_name(undo.step.identity) for undo in found.undos])
        for undo in found.undos:
            self._insert(
                LedgerStep(
                    id=0,
                    identity=undo.step.identity,
                    generation=undo.generation,
                    kind="call",
                    state="waiting",
                    version=1,
                    digest=undo.digest,
                    depends_on=undo.depends_on,
                    undoes=undo.step.id,
                )
            )
        self._advance()

    def meddle(self) -> None:
        """Somebody changes an object that nobody plans any more, and at which no call is."""
        busy = {step.identity for step in self._steps() if step.state in AT_TARGET}
        planned = {step.identity for step in self.taken.steps}
        if free := sorted(self.ours.keys() - planned - busy):
            identity = self.die.choice(free)
            self.holds[identity] = b"by hand"
            self._tell("meddled with", _name(identity))

    def pause(self) -> None:
        """A person pauses the change."""
        if self._commits():
            self.paused = "paused by ada"
            self._advance()

    def resume(self, *, certain: bool = False) -> None:
        """And lets it go on."""
        if certain or self._commits():
            self.paused = ""
            self._advance()

    def hold(self) -> None:
        """A person stops what is written to an object: its calls stay what they are."""
        if self.rows and self._commits():
            self.held.add(self.die.choice(self._current()).identity)
            self._tell("held", sorted(map(_name, self.held)))

    def release(self) -> None:
        """And lets all of it go on."""
        if self._commits():
            self.held.clear()

    # What must hold

    def _hold_always(self) -> None:
        """One call of an object at a time, and what moved is where it belongs."""
        sendable = Counter(
            s.identity
            for s in self._steps()
            if s.kind == "call" and (s.state in AT_TARGET or s.state == "ready")
        )
        _require(max(sendable.values(), default=1) == 1, f"two calls of one object: {sendable}")
        now = rules.current(self._steps())
        for step in now.values():
            if step.state == "ready":
                open_before = [d for d in step.depends_on if now[d].state not in SETTLED]
                _require(not open_before, f"{step} is ready before {open_before}")
        _require(max(self.announced.values(), default=1) == 1, f"told twice: {self.announced}")
        _require(rules.advance(self._steps(), paused=self.paused) == (), "something may still move")

    def _hold_at_rest(self) -> None:
        """The ledger is complete, its target is as the last plan wants it; what nobody plans any
        more and is there is left behind, by name."""
        now = rules.current(self._steps())
        unsettled = [step for step in now.values() if step.state not in SETTLED]
        _require(not unsettled, f"never ends: {unsettled}")
        _require(not any(s.state in NOT_SENT for s in self._steps()), "a former form is left")
        planned = {step.identity: step for step in self.taken.steps if step.kind == "call"}
        skipped = {identity for identity, step in now.items() if step.state == "skipped"}
        for identity, step in planned.items():
            held = self.holds.get(identity)
            is_there = identity in skipped or held == rules.digest_of(step)
            _require(is_there, f"{identity} is not as it is planned")
        left = {step.identity for step in undecided(self._steps())}
        there = self.ours.keys() - planned.keys() - self.stays
        _require(left == there, f"left behind {left}, there is {there}")

    # The table

    def _steps(self) -> list[LedgerStep]:
        return [self.rows[number] for number in sorted(self.rows)]

    def _current(self) -> list[LedgerStep]:
        return [*rules.current(self._steps()).values()]

    def _insert(self, step: LedgerStep) -> None:
        number = len(self.rows) + 1
        self.rows[number] = msgspec.structs.replace(step, id=number)

    def _advance(self) -> None:
        moves = rules.advance(self._steps(), paused=self.paused)
        self._move(moves)
        self.announced.update(
            move.step.id for move in moves if move.step.kind == "announce" and move.state == "done"
        )

    def _move(self, moves: Iterable[Move]) -> None:
        for move in moves:
            row = self.rows[move.step.id]
            _require(row == move.step, f"{move} is not of {row}")
            self.rows[row.id] = msgspec.structs.replace(
                row, state=move.state, reason=move.reason, version=row.version + 1
            )

    def _commits(self) -> bool:
        """Whether the transaction is committed; else nothing of it has happened."""
        return self.die.random() < 0.9

    def _tell(self, *what: object) -> None:
        self.told.append(" ".join(map(str, what)))


def a_step(name: str, content: str, before: Sequence[str]) -> Step:
    """A planned step of that name."""
    made = Step("P1", "erp", "item", name, _operation(KINDS[name], content))
    return msgspec.structs.replace(made, depends_on=tuple(before))


def _operation(kind: StepKind, content: str) -> Operation:
    match kind:
        case "call":
            return ExtendToPlant("S", "P1", "buy", "H87", content)
        case "approval":
            return Approve("question", content)
        case "wait":
            return AwaitFact("supplier/S", 0, content)
        case "announce":
            return Announce("approval.requested", KEY, msgspec.Raw(f'"{content}"'.encode()))


def _without(steps: Sequence[Step], gone: set[str]) -> tuple[Step, ...]:
    return tuple(
        msgspec.structs.replace(step, depends_on=tuple(d for d in step.depends_on if d not in gone))
        for step in steps
    )


def _name(identity: str) -> str:
    return identity.split("|")[3]


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Violation(otherwise)


def run(seed: int) -> Course:
    """The course of that seed, at rest. Raises: Violation, with all that was done."""
    course = Course(seed)
    try:
        course.run()
    except Violation as violation:
        told = "\n".join(course.told)
        raise Violation(f"seed {seed}:\n{told}\n{violation}") from violation
    return course
