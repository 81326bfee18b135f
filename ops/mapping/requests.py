"""What targets would be sent: the read of an object, and the write where the target has none.

Of steps as the rules route them; without rules, of what a message alone tells how to hold or read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from canonical.catalogue import Catalogue
from canonical.connector import Absent, Driver
from canonical.effects import Effect, Emit, Fetch, Step
from canonical.errors import Failure, Misconfigured
from canonical.exchange import Request
from canonical.item import Item
from canonical.operations import Operation, PublishItem, PutItem, ReadObject
from canonical.rules import Rules
from ops.mapping.entries import REQUEST, Entry, fault

# In the place of the key of a try.
_KEY = "dry-run"
# What drivers say of an operation, or of a kind of object, that is not theirs.
_NOT_THEIRS = frozenset({"operation-unsupported", "object-unreadable"})


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
    steps: Iterable[Step], catalogue: Catalogue, drivers: Mapping[str, str], rules: Rules
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
            yield _call(step, driver.for_words(rules.words_of(step.system)))


def direct_calls(effects: Iterable[Effect], catalogue: Catalogue) -> Iterator[Call]:
    """What each driver would be asked to hold of an event as it stands, were it to hold it, and to
    read of which a message tells no more than the key."""
    for effect in effects:
        for about in _about(effect):
            for name, driver in catalogue.drivers.items():
                call = _call(msgspec.structs.replace(about, system=name), driver)
                if not (call.failure and call.failure.code in _NOT_THEIRS):
                    yield call


def read_step(fetch: Fetch) -> Step:
    """The read as the step that the runtime makes of it, but for the message that asks."""
    asked = ReadObject(fetch.kind, fetch.id, fetch.key, 0, "")
    return Step("", fetch.system, fetch.kind, fetch.id, asked)


def request_entries(calls: Iterable[Call]) -> tuple[Entry, ...]:
    """The calls as a golden of requests has them: by step, what is read, then what is written."""
    return tuple(Entry(REQUEST, call.step.identity, _content(call)) for call in calls)


def step_words(about: str) -> str:
    """The step of such an entry without its object: "put-bom at erp"."""
    _, system, *_, verb = about.split("|")
    return f"{verb} at {system}"


def _content(call: Call) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if call.observe is not None:
        content["observe"] = _request(call.observe)
    if call.write is not None:
        content["write"] = _request(call.write)
    if call.failure is not None:
        content["refused"] = fault(call.failure)
    return content


def _request(request: Request) -> dict[str, Any]:
    content: dict[str, Any] = {"method": request.method, "path": request.path}
    if request.query:
        content["query"] = _query(request.query)
    if request.body:
        content["body"] = _body(request.body)
    return content


def _query(query: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """By name; what is said more than once, or as a list of words, is a list."""
    found: dict[str, list[str]] = {}
    for name, value in query:
        found.setdefault(name, []).extend([value] if " " in value else value.split(","))
    return {name: said[0] if len(said) == 1 else said for name, said in found.items()}


def _body(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return body.decode(errors="replace")


def _about(effect: Effect) -> Iterator[Step]:
    """Steps that need nothing but the effect. Structures and terms need plants and rules."""
    match effect:
        case Emit(key=key, data=Item() as item):
            kind, _, number = key.partition("/")
            # A statement's time varies between two statements of one definition.
            defined = msgspec.structs.replace(item, stated_at=None)
            operations: tuple[Operation, ...] = PutItem(defined), PublishItem(defined)
            for operation in operations:
                yield Step("", "", kind, number, operation)
        case Fetch():
            yield read_step(effect)


def _call(step: Step, driver: Driver) -> Call:
    observe: Request | None = None
    try:
        observe = driver.observe(step)
        write = driver.write(step, Absent(), _KEY)
    except Failure as failure:
        return Call(step, driver.name, observe, failure=failure)
    return Call(step, driver.name, observe, write.request if write else None)
