"""One message decided on facts that are looked up as it asks for them: the only way to a verdict,
for the pipeline and for the shadow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from broker.aside import aside_if
from broker.decision import MAX_NEED_ROUNDS, Desk, Verdict
from broker.intake import Work

LookUp = Callable[[set[str]], Awaitable[object]]


async def decide_one(desk: Desk, work: Work, look_up: LookUp) -> tuple[Verdict, Verdict]:
    """What its handler says with all effects, and the verdict on that, which the desk now knows.

    look_up: the documents of these keys, as far as there are any, are added to the desk.
    """
    for _ in range(MAX_NEED_ROUNDS):
        wanted = await aside_if(desk.is_crowded, desk.wanted, [work])
        if not wanted:
            break
        await look_up(wanted)
    else:
        desk.broke(work, RuntimeError("needs without end"))
    large = work.is_large or desk.is_crowded
    said = await aside_if(large, desk.decide, work)
    if unseen := desk.unseen(said):
        await look_up(unseen)
    return said, await aside_if(large, desk.fold, said)
