"""What targets would be sent: the read of an object, and the write where the target has none.

Of a plan's steps as the rules route them; without rules, of what an event alone tells how to hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from canonical.catalogue import Catalogue
from canonical.connector import Absent, Driver
from canonical.effects import Emit, Step
from canonical.errors import Failure, Misconfigured
from canonical.exchange import Request
from canonical.item import Item
from canonical.operations import Operation, PublishItem, PutItem

# In the place of the key of a try.
_KEY = "dry-run"


class Call(msgspec.Struct, frozen=True):
    """A step as its driver would carry it out.

    observe: the read that comes first. write: what follows where the read finds nothing; None
    where the read is all. failure: why the driver cannot make a request of it.
    """

    step: Step
    driver: str
    observe: Request | None = None
    write: Request | None = None
    failure: Failure | None = None


def calls_of(
    steps: Iterable[Step], catalogue: Catalogue, drivers: Mapping[str, str]
) -> Iterator[Call]:
    """The steps that call a system. drivers: system as the rules name it -> its driver."""
    for step in steps:
        if step.kind != "call":
            continue
        name = drivers.get(step.system, "")
        driver = catalogue.drivers.get(name)
        if driver is None:
            missing = Misconfigured("system-unknown", f"No system {step.system} is configured")
            yield Call(step, name, failure=missing)
        else:
            yield _call(step, driver)


def direct_calls(events: Iterable[Emit], catalogue: Catalogue) -> Iterator[Call]:
    """What each driver would be asked to hold of an event as it stands, were it to hold it."""
    for event in events:
        for operation in _operations(event):
            for name, driver in catalogue.drivers.items():
                kind, _, number = event.key.partition("/")
                call = _call(Step("", name, kind, number, operation), driver)
                if not (call.failure and call.failure.code == "operation-unsupported"):
                    yield call


def _operations(event: Emit) -> tuple[Operation, ...]:
    """Operations that need nothing but the event. Structures and terms need plants and rules."""
    match event.data:
        case Item() as item:
            # A statement's time varies between two statements of one definition.
            defined = msgspec.structs.replace(item, stated_at=None)
            return PutItem(defined), PublishItem(defined)
        case _:
            return ()


def _call(step: Step, driver: Driver) -> Call:
    observe: Request | None = None
    try:
        observe = driver.observe(step)
        write = driver.write(step, Absent(), _KEY)
    except Failure as failure:
        return Call(step, driver.name, observe, failure=failure)
    return Call(step, driver.name, observe, write.request if write else None)
