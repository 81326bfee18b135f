"""A look at a target takes as many calls as its driver says, and ends."""

from __future__ import annotations

import pytest

from broker.dispatcher import MAX_PARTS, look
from canonical.connector import Absent, Confirmed, Driver, More, Observed, Present
from canonical.effects import Step
from canonical.errors import Failure
from canonical.exchange import Request, Response
from canonical.operations import ReadSupplier

STEP = Step("", "erp", "supplier", "7", ReadSupplier("7"))


def get(path: str) -> Request:
    return Request("GET", path, effectful=False)


def pages(*, last: int) -> Driver:
    """A driver of a target that shows an object on pages 1 to `last`."""

    def read_page(number: int, before: bytes, response: Response) -> Observed | More:
        held = before + response.body
        if number == last:
            return Present(equal=True, native=held)
        return More(get(f"/{number + 1}"), lambda answer: read_page(number + 1, held, answer))

    return Driver(
        name="pages",
        observe=lambda step: get("/1"),
        read=lambda step, response: read_page(1, b"", response),
        write=lambda step, observed, key: None,
        confirm=lambda step, response: Confirmed(),
    )


class Target:
    """Answers each path with its name; `asked` is what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def perform(self, request: Request) -> Response:
        self.asked.append(request.path)
        return Response(200, {}, request.path.encode())


async def test_an_object_on_three_pages_is_read_by_three_calls() -> None:
    target = Target()
    seen = await look(pages(last=3), STEP, target.perform)
    assert seen == Present(equal=True, native=b"/1/2/3")
    assert target.asked == ["/1", "/2", "/3"]


async def test_one_page_takes_one_call() -> None:
    target = Target()
    assert await look(pages(last=1), STEP, target.perform) == Present(equal=True, native=b"/1")
    assert target.asked == ["/1"]


async def test_absent_is_known_at_once() -> None:
    driver = Driver(
        name="empty",
        observe=lambda step: get("/1"),
        read=lambda step, response: Absent(),
        write=lambda step, observed, key: None,
        confirm=lambda step, response: Confirmed(),
    )
    assert await look(driver, STEP, Target().perform) == Absent()


async def test_as_many_calls_as_are_allowed_suffice_and_one_more_does_not() -> None:
    target = Target()
    await look(pages(last=MAX_PARTS), STEP, target.perform)
    assert len(target.asked) == MAX_PARTS == 20
    target = Target()
    with pytest.raises(Failure, match="driver-stuck"):
        await look(pages(last=MAX_PARTS + 1), STEP, target.perform)
    assert len(target.asked) == MAX_PARTS


async def test_what_a_later_call_raises_ends_the_look() -> None:
    async def perform(request: Request) -> Response:
        if request.path == "/2":
            raise Failure("gone", "The second page is gone")
        return Response(200, {}, b"")

    with pytest.raises(Failure, match="gone"):
        await look(pages(last=3), STEP, perform)
