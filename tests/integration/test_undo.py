"""What a change did is put back once a person says so: in the reverse of its order, each once, and
never over what somebody else has changed since."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from broker import cases, controls
from broker.controls import Steered
from broker.failpoints import FailPointHit
from broker.settings import Deadlines
from canonical.connector import Absent, Former, Observed, Present, Write
from canonical.effects import Step
from canonical.errors import Conflict
from canonical.exchange import Response
from canonical.operations import ExtendToPlant
from tests.integration.test_controls import cancel, ledger, number_of, plan, written
from tests.integration.toy import (
    RULES,
    TOY_DRIVER,
    Bench,
    Wanted,
    bench_on,
    path_of,
    turn_until_idle,
    until,
)

WHO: dict[str, Any] = {"by": "ada", "reason": "a mistake"}
T1, T2, T3 = map(path_of, ("T1", "T2", "T3"))


def _read(step: Step, response: Response) -> Observed:
    seen = TOY_DRIVER.read(step, response)
    assert isinstance(seen, (Present, Absent))
    if isinstance(seen, Absent):
        return seen
    shown = () if seen.equal else (f"content: {response.body.decode()}",)
    return msgspec.structs.replace(seen, native=response.body, differences=shown)


def _write(step: Step, observed: Observed, key: str) -> Write | None:
    made = TOY_DRIVER.write(step, observed, key)
    assert made is not None
    is_so = isinstance(observed, Present) and made.request.body == observed.native
    return None if is_so else made


def _former(step: Step, observed: Observed) -> Former:
    if isinstance(observed, Absent):
        return Former(why_not="it was made by this step")
    assert isinstance(observed, Present)
    assert isinstance(step.operation, ExtendToPlant)
    held = observed.native.decode()
    return Former(msgspec.structs.replace(step.operation, purchasing_group=held))


DRIVER = replace(TOY_DRIVER, read=_read, write=_write, former=_former)


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[Bench]:
    """A bench on a fresh database, with objects that were there before."""
    async with bench_on(database_url) as made:
        made.target.rows = {T1: b"old 1", T2: b"old 2", T3: b"old 3"}
        yield made


async def carry_out(bench: Bench, **how: Any) -> None:
    await turn_until_idle(bench.dispatcher(driver=DRIVER, **how))


async def shown(bench: Bench) -> controls.Shown:
    async with bench.database.transaction() as tx:
        return await controls.undoable(tx, number="C1")


async def undo(bench: Bench, mark: str = "") -> Steered:
    mark = mark or (await shown(bench)).undos.mark
    async with bench.database.transaction() as tx:
        return await controls.undo(
            tx, number="C1", shown=mark, rules=RULES, now=datetime.now(UTC), **WHO
        )


async def made(bench: Bench) -> None:
    """A change wrote three objects, one after the other, and was taken back."""
    await plan(
        bench,
        Wanted("T1", "new 1"),
        Wanted("T2", "new 2", after=("T1",)),
        Wanted("T3", "new 3", after=("T2",)),
    )
    await carry_out(bench)
    await plan(bench, Wanted("X", "May X?", kind="approval"), version=2)
    await cancel(bench)
    bench.target.journal.clear()


async def test_what_is_left_behind_is_put_back_in_reverse_order(bench: Bench) -> None:
    await made(bench)
    assert written(bench) == []
    [remedy] = await bench.column("select remedy from exception_case where state = 'open'")
    assert "3 of 3 can be undone" in remedy
    assert "layshaft change undo C1" in remedy
    done = await undo(bench)
    assert done.changed == 3
    assert await bench.states() == {
        "T1": "waiting", "T2": "waiting", "T3": "ready", "X": "cancelled",
    }  # fmt: skip
    # Said and not done yet: nobody is asked any more.
    assert await bench.cases() == []
    assert await ledger(bench) == "open"
    await carry_out(bench)
    assert written(bench) == [T3, T2, T1]
    assert bench.target.rows == {T1: b"old 1", T2: b"old 2", T3: b"old 3"}
    assert await ledger(bench) == "cancelled"
    assert await bench.cases() == []
    [detail] = await bench.column("select detail from audit where action = 'change-undone'")
    assert "a mistake" in detail
    assert len(bench.target.keys) == len(set(bench.target.keys))
    assert (await shown(bench)).undos.undos == ()


async def test_nothing_is_undone_that_was_not_looked_at(bench: Bench) -> None:
    await made(bench)
    seen = (await shown(bench)).undos.mark
    with pytest.raises(Conflict, match="not-as-shown"):
        await undo(bench, mark="another")
    await undo(bench, seen)
    with pytest.raises(Conflict, match="nothing-to-undo"):
        await undo(bench, seen)


async def test_what_somebody_changed_since_is_not_overwritten(bench: Bench) -> None:
    await made(bench)
    bench.target.rows[T2] = b"by hand"
    await undo(bench)
    await carry_out(bench)
    assert bench.target.rows == {T1: b"new 1", T2: b"by hand", T3: b"old 3"}
    assert (await bench.states())["T1"] == "held"
    [case] = await bench.rows("select id, code, what from exception_case where state = 'open'")
    assert case["code"] == "changed-since"
    assert "content: by hand" in case["what"]
    # Tried again it finds the same; a person who has settled it leaves it out, and the rest goes.
    async with bench.database.transaction() as tx:
        assert await cases.retry(tx, case_id=case["id"], **WHO) == "step"
    await carry_out(bench)
    assert await bench.cases() == ["changed-since"]
    async with bench.database.transaction() as tx:
        await controls.skip(tx, number="C1", step=await number_of(bench, "T2"), **WHO)
    await carry_out(bench)
    assert bench.target.rows == {T1: b"old 1", T2: b"by hand", T3: b"old 3"}
    assert await ledger(bench) == "cancelled"
    assert await bench.cases() == []


async def test_what_another_change_counts_on_is_left_to_people(bench: Bench) -> None:
    await made(bench)
    await undo(bench)
    await plan(bench, Wanted("T3", "new 3"), number="C2")
    # Its call is behind that of the undo; here it was there first.
    await bench.execute("update step set next_at = now() + interval '1 h' where undoes is not null")
    await bench.execute("update step set state = 'done', changed_at = now() where ledger_id ="
                        " (select id from ledger where key = 'engineering-change/C2')")  # fmt: skip
    await bench.execute("update step set next_at = now()")
    await carry_out(bench)
    assert bench.target.rows[T3] == b"new 3"
    assert await bench.cases() == ["needed-by-another"]


async def test_what_another_change_made_true_since_is_shown_as_not_to_be_undone(
    bench: Bench,
) -> None:
    await made(bench)
    await plan(bench, Wanted("T1", "new 1"), number="C2")
    await carry_out(bench)
    found = (await shown(bench)).undos
    assert [u.step.identity.split("|")[3] for u in found.undos] == ["T2", "T3"]
    assert [one.why for one in found.left] == ["engineering-change/C2 made the same true since"]


async def test_what_was_made_new_or_was_so_before_is_not_undone_and_says_why(bench: Bench) -> None:
    del bench.target.rows[T1]
    bench.target.rows[T2] = b"new 2"
    await made(bench)
    found = (await shown(bench)).undos
    assert [one.why for one in found.left] == [
        "it was made by this step",
        "it was so before: nothing was written",
    ]
    await undo(bench)
    await carry_out(bench)
    assert written(bench) == [T3]
    assert await bench.cases() == ["left-behind"]


async def test_a_corrected_object_goes_back_to_what_it_was_before_the_change(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "first"))
    await carry_out(bench)
    await plan(bench, Wanted("T1", "second"), version=2)
    await carry_out(bench)
    await plan(bench, Wanted("T2", "x"), version=3)
    await undo(bench)
    await carry_out(bench)
    assert bench.target.rows == {T1: b"old 1", T2: b"x", T3: b"old 3"}


async def test_what_somebody_changed_between_two_versions_comes_back(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "first"))
    await carry_out(bench)
    bench.target.rows[T1] = b"by hand"
    await plan(bench, Wanted("T1", "second"), version=2)
    await carry_out(bench)
    await plan(bench, Wanted("T2", "x"), version=3)
    await undo(bench)
    await carry_out(bench)
    assert bench.target.rows[T1] == b"by hand"


async def test_the_undo_of_what_is_under_way_waits_for_its_end(bench: Bench) -> None:
    gate = bench.target.gates[f"PUT {T1}"] = asyncio.Event()
    await plan(bench, Wanted("T1", "new 1"), Wanted("T2", "new 2", after=("T1",)))
    dispatcher = bench.dispatcher(driver=DRIVER)
    await dispatcher.turn()

    async def written_to() -> bool:
        return ("PUT", T1) in bench.target.journal

    await until(written_to, "the call is at its target")
    await cancel(bench)
    [each] = (await shown(bench)).undos.undos
    assert each.is_under_way
    await undo(bench)
    assert (await bench.states())["T1"] == "waiting"
    gate.set()
    await turn_until_idle(dispatcher)
    assert await bench.column("select state from step where object_id = 'T1' order by id") == [
        "superseded",
        "done",
    ]
    assert bench.target.rows[T1] == b"old 1"
    assert (await ledger(bench), await bench.cases()) == ("cancelled", [])


async def test_the_undo_of_what_was_not_applied_lapses(bench: Bench) -> None:
    gate = bench.target.gates[f"PUT {T1}"] = asyncio.Event()
    bench.target.faults[T1] = ["away"]
    await plan(bench, Wanted("T1", "new 1"))
    dispatcher = bench.dispatcher(driver=DRIVER)
    await dispatcher.turn()

    async def written_to() -> bool:
        return ("PUT", T1) in bench.target.journal

    await until(written_to, "the call is at its target")
    await cancel(bench)
    await undo(bench)
    gate.set()
    await turn_until_idle(dispatcher)
    assert await bench.rows("select state, reason from step order by id") == [
        {"state": "cancelled", "reason": "no longer planned"},
        {"state": "cancelled", "reason": "nothing of what it undoes was applied"},
    ]
    assert bench.target.rows[T1] == b"old 1"
    assert (await ledger(bench), await bench.cases()) == ("cancelled", [])


async def test_a_newer_version_cancels_an_undo_that_was_not_sent(bench: Bench) -> None:
    await made(bench)
    await undo(bench)
    await plan(bench, Wanted("T3", "newer 3"), version=3)
    assert await bench.column("select reason from step where object_id = 'T3' order by id") == [
        "done, and no longer planned",
        "what it undoes is planned again",
        "",
    ]
    await carry_out(bench)
    assert bench.target.rows == {T1: b"old 1", T2: b"old 2", T3: b"newer 3"}
    # What it wrote over is what the change had written: it goes back to what was before that.
    await plan(bench, Wanted("X", "May X?", kind="approval"), version=4)
    await undo(bench)
    await carry_out(bench)
    assert bench.target.rows[T3] == b"old 3"


@pytest.mark.parametrize("point", ["claim.after", "result.before_commit", "result.after_commit"])
async def test_an_undo_whose_process_dies_is_done_once(bench: Bench, point: str) -> None:
    await made(bench)
    await undo(bench)
    dying = bench.dispatcher(
        driver=DRIVER,
        deadlines=Deadlines(lease_s=0.01, http_total_s=-60),
        fail_points=f"{point}:raise:1",
    )
    with pytest.raises(FailPointHit):
        await turn_until_idle(dying)
    if point != "result.after_commit":
        await until(bench.lapse, "the lease lapses")
    await carry_out(bench)
    assert bench.target.rows == {T1: b"old 1", T2: b"old 2", T3: b"old 3"}
    assert written(bench) == [T3, T2, T1]
    assert await ledger(bench) == "cancelled"


async def test_a_step_whose_process_died_is_left_to_people(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "new 1"))
    dying = bench.dispatcher(
        driver=DRIVER,
        deadlines=Deadlines(lease_s=0.01, http_total_s=-60),
        fail_points="result.before_commit:raise:1",
    )
    with pytest.raises(FailPointHit):
        await turn_until_idle(dying)
    await until(bench.lapse, "the lease lapses")
    await carry_out(bench)
    await plan(bench, Wanted("X", "May X?", kind="approval"), version=2)
    await cancel(bench)
    [one] = (await shown(bench)).undos.left
    assert one.why.startswith("what was there before is not known: the process")
    with pytest.raises(Conflict, match="nothing-to-undo"):
        await undo(bench)


async def test_an_answer_that_is_lost_keeps_what_was_there_before(bench: Bench) -> None:
    bench.target.faults[T1] = ["lose"]
    await plan(bench, Wanted("T1", "new 1"))
    await carry_out(bench)
    await plan(bench, Wanted("X", "May X?", kind="approval"), version=2)
    await cancel(bench)
    await undo(bench)
    bench.target.faults[T1] = ["lose"]
    await carry_out(bench)
    assert bench.target.rows[T1] == b"old 1"
    assert bench.target.writes(T1) == 2


async def test_a_refused_try_says_nothing_of_what_was_there_at_the_next_one(bench: Bench) -> None:
    bench.target.faults[T1] = ["refuse"]
    await plan(bench, Wanted("T1", "new 1"))
    await carry_out(bench)
    bench.target.rows[T1] = b"corrected by hand"
    [case] = await bench.column("select id from exception_case where state = 'open'")
    async with bench.database.transaction() as tx:
        await cases.retry(tx, case_id=case, **WHO)
    await carry_out(bench)
    await plan(bench, Wanted("X", "May X?", kind="approval"), version=2)
    await cancel(bench)
    await undo(bench)
    await carry_out(bench)
    assert bench.target.rows[T1] == b"corrected by hand"


async def test_an_undo_does_not_run_anew(bench: Bench) -> None:
    await plan(bench, Wanted("T1", "new 1"))
    await carry_out(bench)
    await plan(bench, Wanted("T2", "new 2"), version=2)
    await undo(bench)
    await carry_out(bench)
    step = await number_of(bench, "T1")
    async with bench.database.transaction() as tx:
        with pytest.raises(Conflict, match="An undo does not run anew"):
            await controls.restart(
                tx, number="C1", step=step, rules=RULES, now=datetime.now(UTC), **WHO
            )
